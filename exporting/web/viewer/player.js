// What the window shows: as many pixels as keep 30 frames a second while it moves; once it rests,
// frames of other pixels until there are all of them, then of other places within them.

const FRAME_MS = 1000 / 30, ROUNDS = 8;

class Player {
  constructor(gpu, canvas) {
    const { gl } = gpu;
    Object.assign(this, { gpu, gl, canvas, mode: 0, scale: 0.35, fence: null });
    const half = gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float");
    this.rounds = half ? ROUNDS : 1;  // a mean of more needs more than 8 bits
    this.small = new Target(gl, 5, gl.RGBA8);
    this.large = new Target(gl, 6, half ? gl.RGBA16F : gl.RGBA8);
    this.key = "";
    this.done = 0;
  }

  // Called once for each picture of the screen; draws at most one frame.
  tick(pose, moving, zoom) {
    const { gl, canvas } = this;
    if (this.fence) {
      const state = gl.clientWaitSync(this.fence, 0, 0);
      if (state === gl.TIMEOUT_EXPIRED) return;
      gl.deleteSync(this.fence);
      this.fence = null;
      this.adapt(performance.now() - this.issued);
    }
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * density));
    const height = Math.max(1, Math.round(canvas.clientHeight * density));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const camera = { c2w: pose, ...lensFor(this.gpu.meta, width, height, zoom) };
    const key = `${pose.join()} ${width} ${height} ${this.mode} ${zoom}`;
    if (moving || key !== this.key) this.rough(camera, key);
    else if (!this.finished()) this.refine(camera);
    else return;
    this.issued = performance.now();
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }

  rough(camera, key) {
    const { width, height } = camera, scale = this.scale;
    const w = Math.max(16, Math.round(width * scale)), h = Math.max(16, Math.round(height * scale));
    this.small.resize(w, h);
    this.gpu.draw(this.small, resized(camera, w, h), [0.5, 0.5, 1], this.mode);
    this.gpu.copy(this.small, null, width, height);
    Object.assign(this, { key, done: 0, last: [w, h] });
  }

  // Whether each pixel has had a ray of its own.
  sharp() {
    return this.done > 0 && this.done >= this.grid * this.grid;
  }

  finished() {
    return this.done > 0 && this.done >= this.rounds * this.grid * this.grid;
  }

  refine(camera) {
    const { width, height } = camera;
    if (this.done === 0) {
      this.grid = Math.max(1, Math.ceil(1 / this.scale));
      this.large.resize(width, height);
      this.gpu.copy(this.small, this.large, width, height);
      const all = Array.from({ length: this.grid ** 2 }, (_, i) => i);
      this.order = all.sort((a, b) => spread(a) - spread(b));
    }
    const n = this.grid, count = n * n, round = Math.floor(this.done / count);
    const cell = this.order[this.done % count], x = cell % n, y = Math.floor(cell / n);
    // Within a pixel: its middle first, then places of a sequence of low discrepancy.
    const dx = round ? (round * 0.7548776662 + 0.5) % 1 : 0.5;
    const dy = round ? (round * 0.5698402910 + 0.5) % 1 : 0.5;
    this.small.resize(Math.ceil((width - x) / n), Math.ceil((height - y) / n));
    this.gpu.draw(this.small, camera, [x + dx, y + dy, n], this.mode);
    this.gpu.copy(this.small, this.large, width, height, [x, y, n], 1 / (round + 1));
    this.gpu.copy(this.large, null, width, height);
    this.done += 1;
  }

  adapt(milliseconds) {
    if (this.done > 0) return;  // a refinement has its own number of pixels
    this.frameMs = milliseconds;
    // A fence is seen once a picture of the screen: one of 33 ms may have taken 17 or 33.
    if (milliseconds > 1.2 * FRAME_MS) this.scale *= Math.max(0.6, Math.sqrt(FRAME_MS / milliseconds));
    else if (milliseconds < 0.75 * FRAME_MS) this.scale *= 1.06;
    this.scale = clamp(this.scale, 0.1, 1);
  }

  redraw() {
    this.key = "";
  }
}

const spread = (i) => (i * 0.6180339887 + 0.3) % 1;

function resized(camera, width, height) {
  const x = width / camera.width, y = height / camera.height;
  return {
    ...camera, width, height,
    fx: camera.fx * x, cx: camera.cx * x, fy: camera.fy * y, cy: camera.cy * y,
  };
}
