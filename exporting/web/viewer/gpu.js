// WebGL2: programs, textures, and one picture.

const QUAD = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

// Who looks around sees the scene as it is on average, as in a flight: its brightness stays.
const NOT_EXPOSED = { gain: [1, 1, 1], offset: [0, 0, 0] };

class Program {
  constructor(gl, source) {
    this.gl = gl;
    this.handle = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, QUAD], [gl.FRAGMENT_SHADER, source]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.handle, shader);
    }
    gl.linkProgram(this.handle);
    if (!gl.getProgramParameter(this.handle, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = gl.getAttachedShaders(this.handle).map((s) => gl.getShaderInfoLog(s));
      throw new Error(logs.join("\n") + gl.getProgramInfoLog(this.handle));
    }
    this.places = new Map();
  }

  // Sets uniforms: [kind, ...values] by name, as gl.uniform<kind> takes them.
  set(values) {
    const gl = this.gl;
    gl.useProgram(this.handle);
    for (const [name, [kind, ...value]] of Object.entries(values)) {
      if (!this.places.has(name)) this.places.set(name, gl.getUniformLocation(this.handle, name));
      gl["uniform" + kind](this.places.get(name), ...value);
    }
  }
}

function texture3d(gl, unit, format, size, filter) {
  const handle = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_3D, handle);
  gl.texStorage3D(gl.TEXTURE_3D, 1, format, ...size);
  for (const name of ["TEXTURE_MIN_FILTER", "TEXTURE_MAG_FILTER"]) {
    gl.texParameteri(gl.TEXTURE_3D, gl[name], filter);
  }
  for (const name of ["TEXTURE_WRAP_S", "TEXTURE_WRAP_T", "TEXTURE_WRAP_R"]) {
    gl.texParameteri(gl.TEXTURE_3D, gl[name], gl.CLAMP_TO_EDGE);
  }
  return handle;
}

// A picture that can be drawn to and read from.
class Target {
  constructor(gl, unit, format) {
    Object.assign(this, { gl, unit, format, width: 0, height: 0 });
  }

  resize(width, height) {
    const gl = this.gl;
    if (this.width === width && this.height === height) return;
    this.free();
    Object.assign(this, { width, height, texture: gl.createTexture() });
    gl.activeTexture(gl.TEXTURE0 + this.unit);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, this.format, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.texture, 0);
  }

  bind() {
    this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, this.frame);
    this.gl.viewport(0, 0, this.width, this.height);
  }

  free() {
    if (this.frame) this.gl.deleteFramebuffer(this.frame);
    if (this.texture) this.gl.deleteTexture(this.texture);
    Object.assign(this, { frame: null, texture: null, width: 0, height: 0 });
  }
}

// The field in textures, and rays through it.
class Gpu {
  constructor(gl, meta, shaders) {
    Object.assign(this, { gl, meta });
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.disable(gl.DEPTH_TEST);
    const kind = { box: 0, ndc: 1, contracted: 2 }[meta.kind];
    this.march = new Program(gl, `#version 300 es\n#define KIND ${kind}\n${shaders.march}`);
    this.show = new Program(gl, `#version 300 es\n${shaders.show}`);
    gl.bindVertexArray(gl.createVertexArray());
  }

  async upload(field, progress) {
    const { gl, meta } = this, corners = numberCorners(meta, field);
    await restoreValues(meta, field, corners, (share) => progress(0.5 * share));
    const atlas = atlasSize(meta.bricks), size = atlas.map((n) => n * SIDE);
    const kinds = { density: [gl.R8, gl.RED], first: [gl.RGBA8, gl.RGBA], last: [gl.RGBA8, gl.RGBA] };
    Object.entries(kinds).forEach(([, [format]], i) => texture3d(gl, 2 + i, format, size, gl.LINEAR));
    for (let layer = 0; layer < atlas[2]; layer++) {
      const texels = fillLayer(meta, field, corners, atlas, layer);
      Object.entries(kinds).forEach(([name, [, layout]], i) => {
        gl.activeTexture(gl.TEXTURE2 + i);
        const place = [0, 0, layer * SIDE, size[0], size[1], SIDE];
        gl.texSubImage3D(gl.TEXTURE_3D, 0, ...place, layout, gl.UNSIGNED_BYTE, texels[name]);
      });
      progress(0.5 + 0.5 * (layer + 1) / atlas[2]);
      await pause();
    }
    texture3d(gl, 0, gl.RGBA8UI, meta.brickDims, gl.NEAREST);
    gl.texSubImage3D(
      gl.TEXTURE_3D, 0, 0, 0, 0, ...meta.brickDims, gl.RGBA_INTEGER, gl.UNSIGNED_BYTE,
      brickIndex(meta, field, atlas));
    const rows = Math.ceil(meta.bricks / 32), masks = new Uint8Array(2048 * rows);
    masks.set(field.masks);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R8UI, 2048, rows);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 2048, rows, gl.RED_INTEGER, gl.UNSIGNED_BYTE, masks);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.setConstants(atlas, size);
  }

  setConstants(atlas, size) {
    const { gl, meta } = this, low = meta.low, span = meta.low.map((v, i) => meta.high[i] - v);
    const buffer = gl.createBuffer(), handle = this.march.handle;
    gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, buffer);
    gl.bufferData(gl.UNIFORM_BUFFER, new Float32Array(meta.network), gl.STATIC_DRAW);
    gl.uniformBlockBinding(handle, gl.getUniformBlockIndex(handle, "Network"), 0);
    this.march.set({
      bricks: ["1i", 0], masks: ["1i", 1], density: ["1i", 2], first: ["1i", 3], last: ["1i", 4],
      atlasTexels: ["3f", ...size], atlasBricks: ["2i", atlas[0], atlas[1]],
      dims: ["3i", ...meta.dims], low: ["3f", ...meta.lattice.low], edge: ["3f", ...meta.lattice.edge],
      center: ["3f", ...meta.center], halfSide: ["3f", ...meta.half],
      range: ["3f", meta.near, meta.far, meta.nearClip], ndc: ["3f", ...meta.ndc],
      densityRange: ["2f", low[0], span[0]],
      firstLow: ["4f", ...low.slice(1, 5)], firstSpan: ["4f", ...span.slice(1, 5)],
      lastLow: ["4f", ...low.slice(5)], lastSpan: ["4f", ...span.slice(5)],
      march: ["3f", meta.step, meta.weightThreshold, meta.earlyStop],
      viewDependence: ["1f", meta.viewDependence],
      knownBackground: ["1i", meta.harmonics ? 0 : 1], background: ["1f", meta.background],
      depthRange: ["2f", ...meta.depthRange],
    });
    if (meta.harmonics) this.march.set({ harmonics: ["3fv", meta.harmonics] });
  }

  // Rays of a camera into a target; pixel (x, y) of its first texel and pixels between texels.
  draw(target, camera, [x, y, step], mode = 0) {
    const { gl } = this, c = camera.c2w;
    const exposure = camera.exposed ? exposureAt(this.meta, c) : NOT_EXPOSED;
    target.bind();
    gl.disable(gl.BLEND);
    this.march.set({
      eye: ["3f", c[3], c[7], c[11]],
      rotation: ["Matrix3fv", false, [c[0], c[4], c[8], c[1], c[5], c[9], c[2], c[6], c[10]]],
      lens: ["4f", camera.fx, camera.fy, camera.cx, camera.cy],
      pixels: ["3f", x, y, step],
      gain: ["3f", ...exposure.gain], offset: ["3f", ...exposure.offset], mode: ["1i", mode],
    });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // A picture onto the window (target null), or into every grid[2]th pixel of another one.
  copy(picture, target, width, height, grid = [0, 0, 0], share = 1) {
    const { gl } = this;
    if (target) target.bind();
    else {
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      gl.viewport(0, 0, width, height);
    }
    if (share < 1) {
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    } else gl.disable(gl.BLEND);
    gl.activeTexture(gl.TEXTURE0 + picture.unit);
    gl.bindTexture(gl.TEXTURE_2D, picture.texture);
    this.show.set({
      picture: ["1i", picture.unit], size: ["2f", width, height], grid: ["3i", ...grid],
      flip: ["1i", target ? 0 : 1], share: ["1f", share],
    });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // One exact frame: RGBA bytes, rows from the top down. In strips, so that no single draw is long.
  async frame(camera, mode = 0) {
    const { gl } = this, { width, height } = camera, bytes = new Uint8Array(4 * width * height);
    const rows = Math.max(1, Math.min(height, Math.floor(65536 / width)));
    const strip = new Target(gl, 7, gl.RGBA8);
    for (let y = 0; y < height; y += rows) {
      const count = Math.min(rows, height - y);
      strip.resize(width, count);
      this.draw(strip, camera, [0.5, y + 0.5, 1], mode);
      const part = bytes.subarray(4 * width * y, 4 * width * (y + count));
      gl.readPixels(0, 0, width, count, gl.RGBA, gl.UNSIGNED_BYTE, part);
      await pause();
    }
    strip.free();
    return bytes;
  }
}
