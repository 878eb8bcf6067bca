// One ray for each pixel through the voxel field (models/voxels/integral/reference.py has the same
// equations). KIND is 0 for a box, 1 for NDC, 2 for contracted space.
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;
precision highp usampler2D;

uniform vec3 eye;              // in scene units
uniform mat3 rotation;         // camera to world, OpenGL's axes
uniform vec4 lens;             // fx, fy, cx, cy in pixels
uniform vec3 pixels;           // of the first texel x and y, and their distance: pixel coordinates
uniform vec3 gain, offset;     // exposure
uniform int mode;              // 0 colour, 1 depth
uniform vec2 depthRange;       // near and far of the depth view, in scene units

uniform usampler3D bricks;     // place in the atlas and, above zero, its occupied octants;
                               // or distance in bricks to the nearest one, and zero
uniform usampler2D masks;      // a bit for each cell of a brick
uniform sampler3D density, first, last;  // atlas: corners of bricks, 9^3 texels each
uniform vec3 atlasTexels;      // texels along its sides
uniform ivec2 atlasBricks;     // bricks along x and y

uniform ivec3 dims;            // cells
uniform vec3 low, edge;        // of the lattice, in the region's cube
uniform vec3 center, halfSide; // of the region
uniform vec3 range;            // near and far of rays in a box or NDC; near clip of others
uniform vec3 ndc;              // scale x, scale y, near
uniform vec2 densityRange;
uniform vec4 firstLow, firstSpan, lastLow, lastSpan;
uniform vec3 march;            // step in cells, weight threshold, early stop
uniform float viewDependence;
uniform bool knownBackground;
uniform float background;
uniform vec3 harmonics[9];

layout(std140) uniform Network {
  mat4 w1[32];
  mat4 w2[64];
  mat4 w3[8];
  vec4 b1[8];
  vec4 b2[8];
  vec4 b3;
};

out vec4 colour;

const int MOST_STEPS = 4096;

float contracted(float t) { return abs(t) <= 1.0 ? t : sign(t) * (2.0 - 1.0 / abs(t)); }
float uncontracted(float s) {
  return abs(s) <= 1.0 ? s : sign(s) / max(2.0 - abs(s), 1e-3);
}

struct Ray {
  vec3 origin, direction;  // in grid coordinates; of contracted space, in halves of the inner cube
  float start, end;        // s, in cells
  float speed;             // cells (halves of the inner cube) for each unit of t
  float nearest;
};

vec3 place(Ray ray, float s) {
#if KIND == 2
  float t = ray.nearest + uncontracted(s * 2.0 * edge.x);
  vec3 x = ray.origin + ray.direction * t;
  float inverse = 1.0 / max(max(abs(x.x), max(abs(x.y), abs(x.z))), 1.0);
  return (0.5 * (2.0 - inverse) * inverse * x - low) / edge;
#else
  return ray.origin + ray.direction * s;
#endif
}

Ray castRay(vec3 origin, vec3 direction) {
  Ray ray;
#if KIND == 1
  float t = -(ndc.z + origin.z) / direction.z;
  vec3 p = origin + t * direction;
  vec3 mapped = vec3(-ndc.x * p.x / p.z, -ndc.y * p.y / p.z, 1.0 + 2.0 * ndc.z / p.z);
  vec2 ratio = direction.xy / direction.z - p.xy / p.z;
  direction = vec3(-ndc.xy * ratio, 1.0 - mapped.z);
  origin = mapped;
#endif
  origin = (origin - center) / halfSide;
#if KIND == 2
  ray.origin = origin;
  ray.direction = direction;
  ray.speed = 1.0 / halfSide.x;
  ray.nearest = -dot(origin, direction);
  ray.start = contracted(max(range.x, range.z) / halfSide.x - ray.nearest) / (2.0 * edge.x);
  ray.end = 1.98 / (2.0 * edge.x);
#else
  vec3 velocity = direction / (halfSide * edge);
  ray.origin = (origin - low) / edge;
  ray.speed = max(length(velocity), 1e-12);
  ray.direction = velocity / ray.speed;
  ray.nearest = 0.0;
  vec3 away = mix(ray.direction, vec3(1e-9), lessThan(abs(ray.direction), vec3(1e-9)));
  vec3 toLow = -ray.origin / away, toHigh = (vec3(dims) - ray.origin) / away;
  vec3 enter = min(toLow, toHigh), leave = max(toLow, toHigh);
  ray.start = max(max(enter.x, max(enter.y, enter.z)), range.x * ray.speed);
  ray.end = min(min(leave.x, min(leave.y, leave.z)), range.y * ray.speed);
#endif
  return ray;
}

// The ray's own parameter t.
float parameter(Ray ray, float s) {
#if KIND == 2
  return (ray.nearest + uncontracted(s * 2.0 * edge.x)) / ray.speed;
#else
  return s / ray.speed;
#endif
}

// So many steps leave the box between two corners, which is empty.
float stepsOut(Ray ray, float s, vec3 p, vec3 from, vec3 to) {
#if KIND == 2
  vec3 way = place(ray, s + march.x) - p;  // the ray bends: not all of the way straight on
  float share = 0.7;
#else
  vec3 way = ray.direction * march.x;
  float share = 1.0;
#endif
  vec3 safe = mix(way, vec3(1e-9), lessThan(abs(way), vec3(1e-9)));
  vec3 left = max((from - p) / safe, (to - p) / safe);
  return max(1.0, floor(share * min(left.x, min(left.y, left.z))) + (KIND == 2 ? 0.0 : 1.0));
}

vec3 shade(vec4 f0, vec4 f1, float opacity, vec3 d) {
  vec4 x[4];
  x[0] = f0;
  x[1] = f1;
  x[2] = viewDependence * vec4(d.x, d.y, d.z, d.x * d.y);
  x[3] = viewDependence * vec4(d.y * d.z, 3.0 * d.z * d.z - 1.0, d.x * d.z, d.x * d.x - d.y * d.y);
  vec4 h[8];
  for (int o = 0; o < 8; o++) {
    vec4 sum = b1[o];
    for (int i = 0; i < 4; i++) sum += w1[o * 4 + i] * x[i];
    h[o] = max(sum, 0.0);
  }
  vec4 rgb = b3;
  for (int o = 0; o < 8; o++) {
    vec4 sum = b2[o];
    for (int i = 0; i < 8; i++) sum += w2[o * 8 + i] * h[i];
    rgb += w3[o] * max(sum, 0.0);
  }
  return f0.xyz + opacity * (0.5 + rgb.xyz);
}

vec3 behind(vec3 d) {
  if (knownBackground) return vec3(background);
  vec3 rgb = harmonics[0] + harmonics[1] * d.x + harmonics[2] * d.y + harmonics[3] * d.z
    + harmonics[4] * d.x * d.y + harmonics[5] * d.y * d.z
    + harmonics[6] * (3.0 * d.z * d.z - 1.0) + harmonics[7] * d.x * d.z
    + harmonics[8] * (d.x * d.x - d.y * d.y);
  return clamp(rgb, 0.0, 1.0);
}

// Turbo (Mikhailov 2019), by its polynomials: red is near.
vec3 turbo(float x) {
  vec4 a = vec4(1.0, x, x * x, x * x * x);
  vec2 b = a.zw * a.z;
  return clamp(vec3(
    dot(a, vec4(0.13572138, 4.61539260, -42.66032258, 132.13108234)) + dot(b, vec2(-152.94239396, 59.28637943)),
    dot(a, vec4(0.09140261, 2.19418839, 4.84296658, -14.18503333)) + dot(b, vec2(4.27729857, 2.82956604)),
    dot(a, vec4(0.10667330, 12.64194608, -60.58204836, 110.36276771)) + dot(b, vec2(-89.90310912, 27.34824973))
  ), 0.0, 1.0);
}

void main() {
  vec2 at = pixels.xy + pixels.z * floor(gl_FragCoord.xy);
  vec3 view = rotation * normalize(vec3((at.x - lens.z) / lens.x, -(at.y - lens.w) / lens.y, -1.0));
  Ray ray = castRay(eye, view);

  float transmittance = 1.0, shown = 0.0, depth = 0.0;
  vec4 f0 = vec4(0.0), f1 = vec4(0.0);
  float k = 0.0;
  for (int i = 0; i < MOST_STEPS; i++) {
    float s = ray.start + (k + 0.5) * march.x;
    if (!(s < ray.end)) break;
    vec3 p = place(ray, s);
    ivec3 cell = clamp(ivec3(floor(p)), ivec3(0), dims - 1);
    ivec3 brick = cell >> 3;
    uvec4 entry = texelFetch(bricks, brick, 0);
    if (entry.a == 0u) {
      vec3 reach = vec3(float(entry.r) - 1.0);
      k += stepsOut(ray, s, p, (vec3(brick) - reach) * 8.0, (vec3(brick) + 1.0 + reach) * 8.0);
      continue;
    }
    ivec3 within = cell & 7;
    ivec3 octant = within >> 2;
    if ((entry.a >> uint(octant.x * 4 + octant.y * 2 + octant.z) & 1u) == 0u) {
      vec3 corner = vec3((cell >> 2) << 2);
      k += stepsOut(ray, s, p, corner, corner + 4.0);
      continue;
    }
    k += 1.0;
    ivec3 slot = ivec3(entry.xyz);
    int id = slot.x + atlasBricks.x * (slot.y + atlasBricks.y * slot.z);
    uint bits = texelFetch(masks, ivec2((id & 31) * 64 + within.x * 8 + within.y, id >> 5), 0).r;
    if ((bits >> uint(within.z) & 1u) == 0u) continue;
    vec3 texel = (vec3(slot * 9) + 0.5 + (p - vec3(brick * 8))) / atlasTexels;
    float raw = densityRange.x + densityRange.y * texture(density, texel).r - 6.0;
    float thickness = march.x * (raw > 15.0 ? raw : log(1.0 + exp(raw)));
    float passed = exp(-thickness);
    float weight = transmittance * (1.0 - passed);
    transmittance *= passed;
    if (weight > march.y) {
      shown += weight;
      f0 += weight * (firstLow + firstSpan * texture(first, texel));
      f1 += weight * (lastLow + lastSpan * texture(last, texel));
      depth += weight * parameter(ray, s);
    }
    if (transmittance < march.z) break;
  }

  float opacity = 1.0 - transmittance;
  if (mode == 1) {
    float t = depth / max(shown, 1e-6);
#if KIND == 1
    t = (-ndc.z / max(1.0 - t, 1e-6) - eye.z) / view.z;
#endif
    float near = clamp((depthRange.y - t) / (depthRange.y - depthRange.x), 0.0, 1.0);
    colour = vec4(opacity > 0.5 ? turbo(near) : vec3(0.0), 1.0);
    return;
  }
  // What is too faint to be looked up has the colour of the rest.
  float share = min(opacity / max(shown, 1e-6), 2.0);
  vec3 rgb = shade(share * f0, share * f1, opacity, view) + transmittance * behind(view);
  vec3 backdrop = vec3(background * transmittance);
  rgb = gain * (rgb - backdrop) + offset * opacity + backdrop;
  colour = vec4(clamp(rgb, 0.0, 1.0), 1.0);
}
