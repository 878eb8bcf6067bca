// A picture to another one: to the window, or into the pixels of a larger one that it has.
precision highp float;
uniform sampler2D picture;
uniform vec2 size;     // of what is drawn to
uniform ivec3 grid;    // x and y of the pixels that are drawn among each block, and its side; or 0
uniform bool flip;     // rows are kept from the top down, a window's are from the bottom up
uniform float share;   // of the picture in the mean
out vec4 colour;
void main() {
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  if (grid.z > 0) {
    if (pixel.x % grid.z != grid.x || pixel.y % grid.z != grid.y) discard;
    colour = vec4(texelFetch(picture, pixel / grid.z, 0).rgb, share);
    return;
  }
  vec2 at = gl_FragCoord.xy / size;
  if (flip) at.y = 1.0 - at.y;
  colour = vec4(texture(picture, at).rgb, share);
}
