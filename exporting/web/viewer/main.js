// Puts the page together; window.nerf is for scripts and tests.

async function main(meta, shaders) {
  const byId = (id) => document.getElementById(id);
  const canvas = byId("picture"), stage = byId("stage"), bar = byId("bar");
  let loaded;
  const ready = new Promise((resolve, reject) => { loaded = { resolve, reject }; });
  ready.catch(() => {});  // whoever waits is told; nobody has to
  window.nerf = {
    ready: ready.then(() => true, () => false),
    meta, paused: false,
    // One exact frame in the input's coordinates, as soon as the scene is there: c2w (3x4 or 4x4,
    // OpenGL's axes), lens and size in pixels; resolves to RGBA bytes, rows from the top down.
    // depth: the depth view instead. exposed: as a photo from there would be, where photos had
    // exposures of their own.
    async render({ c2w, fx, fy, cx, cy, width, height, depth = false, exposed = true }) {
      const { gpu, player } = await ready;
      const camera = { c2w: fromInput(meta, c2w), fx, fy, cx, cy, width, height, exposed };
      const bytes = await gpu.frame(camera, depth ? 1 : 0);
      player.redraw();
      return bytes;
    },
  };
  const fail = (text) => {
    loaded.reject(new Error(text));
    byId("message").textContent = text;
    byId("message").hidden = false;
    byId("loading").hidden = true;
    throw new Error(text);
  };
  const progress = (share) => {
    bar.style.width = `${Math.round(100 * share)}%`;
    byId("loading").setAttribute("aria-valuenow", Math.round(100 * share));
  };
  const poster = byId("poster");
  const fitPoster = () => {
    const { factor } = lensFor(meta, stage.clientWidth, stage.clientHeight);
    poster.style.width = `${meta.flight.width * factor}px`;
    poster.style.height = `${meta.flight.height * factor}px`;
  };
  fitPoster();
  window.addEventListener("resize", fitPoster);
  const options = { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" };
  const gl = canvas.getContext("webgl2", options);
  if (!gl) fail("This browser shows no 3D pictures (WebGL2 is missing or switched off). A current Chrome, Firefox, Edge or Safari does.");
  if (!window.DecompressionStream) fail("This browser is too old to open this page. A current Chrome, Firefox, Edge or Safari does.");
  canvas.addEventListener("webglcontextlost", (e) => {
    e.preventDefault();
    fail("The graphics memory was needed elsewhere. Reload the page to go on.");
  });

  let gpu;
  try {
    gpu = new Gpu(gl, meta, shaders);
    const field = await readField(meta, progress);
    await gpu.upload(field, (share) => progress(0.7 + 0.3 * share));
  } catch (error) {
    if (!byId("message").hidden) throw error;
    fail(`This page could not be shown here: ${error.message}`);
  }

  const player = new Player(gpu, canvas);
  const buttons = {};
  for (const button of document.querySelectorAll("button")) buttons[button.id] = button;
  const press = (name, on) => buttons[name].setAttribute("aria-pressed", on);
  const controls = new Controls(meta, stage, () => press("flight", controls.flying));
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (calm) controls.reset();

  buttons.flight.onclick = () => {
    if (controls.flying) controls.take();
    else controls.flying = true;
    press("flight", controls.flying);
  };
  buttons.free.onclick = () => {
    controls.orbit.limited = !controls.orbit.limited;
    if (!controls.flying) controls.orbit.limit();
    press("free", !controls.orbit.limited);
  };
  buttons.depth.onclick = () => {
    player.mode = 1 - player.mode;
    press("depth", player.mode === 1);
  };
  buttons.reset.onclick = () => {
    controls.orbit.limited = true;
    player.mode = 0;
    press("free", false);
    press("depth", false);
    controls.reset();
  };
  const root = document.documentElement;
  if (!root.requestFullscreen) buttons.full.hidden = true;
  buttons.full.onclick = () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen();
  document.addEventListener("fullscreenchange", () => press("full", Boolean(document.fullscreenElement)));

  let before = performance.now();
  const loop = (now) => {
    const seconds = Math.min(0.1, Math.max(0, (now - before) / 1000));
    before = now;
    if (!window.nerf.paused) player.tick(controls.pose(), controls.tick(seconds, true), 1);
    requestAnimationFrame(loop);
  };

  window.nerf.state = () => ({
    flying: controls.flying, pose: controls.pose(), scale: player.scale, frameMs: player.frameMs,
    refined: player.sharp(), limited: controls.orbit.limited, mode: player.mode,
  });
  for (const button of Object.values(buttons)) button.disabled = false;
  byId("loading").hidden = true;
  requestAnimationFrame(loop);
  poster.classList.add("gone");
  document.body.dataset.ready = "yes";
  loaded.resolve({ gpu, player });
}
