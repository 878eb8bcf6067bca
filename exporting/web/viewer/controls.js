// Mouse, touch, keys and buttons.

class Controls {
  constructor(meta, stage, changed) {
    this.meta = meta;
    this.orbit = new Orbit(meta);
    this.flying = true;
    this.frame = 0;
    this.lastMove = -Infinity;
    this.changed = changed;
    this.pointers = new Map();
    this.held = new Set();
    this.stage = stage;
    const listen = (name, act) => stage.addEventListener(name, act, { passive: false });
    listen("pointerdown", (e) => this.down(e));
    listen("pointermove", (e) => this.move(e));
    for (const name of ["pointerup", "pointercancel"]) listen(name, (e) => this.up(e));
    listen("wheel", (e) => {
      e.preventDefault();
      this.take();
      this.orbit.zoom(Math.exp(clamp(e.deltaY * (e.deltaMode ? 20 : 1), -200, 200) * 0.0015));
    });
    listen("contextmenu", (e) => e.preventDefault());
    window.addEventListener("keydown", (e) => this.key(e, true));
    window.addEventListener("keyup", (e) => this.key(e, false));
    window.addEventListener("blur", () => this.held.clear());
  }

  // The first touch ends the flight, and goes on from where it is.
  take() {
    if (this.flying) {
      this.orbit.aim(flightPose(this.meta, this.frame));
      this.flying = false;
      this.changed();
    }
    this.lastMove = performance.now();
  }

  down(e) {
    this.stage.setPointerCapture(e.pointerId);
    this.pointers.set(e.pointerId, [e.clientX, e.clientY]);
    this.stage.focus({ preventScroll: true });
    this.take();
  }

  move(e) {
    const before = this.pointers.get(e.pointerId);
    if (!before) return;
    const size = Math.min(this.stage.clientWidth, this.stage.clientHeight);
    const now = [e.clientX, e.clientY], dx = (now[0] - before[0]) / size, dy = (now[1] - before[1]) / size;
    if (this.pointers.size === 1) {
      if (e.buttons & 6 || e.shiftKey || e.ctrlKey) this.orbit.pan(-dx, dy);
      else this.orbit.turn(-3 * dx, 3 * dy);
    } else if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)[1];
      const gap = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      this.orbit.pan(-dx / 2, dy / 2);
      this.orbit.zoom(clamp(gap(before) / Math.max(gap(now), 1), 0.5, 2));
    }
    this.pointers.set(e.pointerId, now);
    this.take();
  }

  up(e) {
    this.pointers.delete(e.pointerId);
  }

  key(e, pressed) {
    const name = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    if (!pressed) {
      this.held.delete(name);
      return;
    }
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const button = document.querySelector(`button[data-key="${name === " " ? "space" : name}"]`);
    const onButton = e.target instanceof HTMLButtonElement;
    if (button && !(onButton && name === " ")) {
      if (!e.repeat) button.click();
      e.preventDefault();
    } else if (name in KEYS) {
      this.shift = e.shiftKey;
      // At once, so that a tap counts that is over before the next picture.
      if (!this.held.has(name)) this.act(name, TAP);
      this.held.add(name);
      e.preventDefault();
    }
  }

  // What a key does in so many seconds.
  act(name, seconds) {
    this.take();
    const [x, y, zoom, pans] = KEYS[name];
    if (zoom) this.orbit.zoom(Math.exp(zoom * seconds));
    else if (pans || this.shift) this.orbit.pan(0.6 * x * seconds, 0.6 * y * seconds);
    else this.orbit.turn(1.2 * x * seconds, 1.2 * y * seconds);
  }

  // Moves on by what has passed; returns whether the picture changes.
  tick(seconds, playing) {
    for (const name of this.held) this.act(name, seconds);
    if (this.flying && playing) {
      this.frame = (this.frame + seconds * this.meta.flight.fps) % this.meta.flight.poses.length;
    }
    return this.flying && playing || performance.now() - this.lastMove < 150;
  }

  pose() {
    return this.flying ? flightPose(this.meta, this.frame) : this.orbit.pose();
  }

  reset() {
    this.frame = 0;
    this.orbit.aim(this.meta.flight.poses[0]);
    this.flying = false;
    this.changed();
  }
}

const TAP = 0.05;
const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  a: [-1, 0, 0, true], s: [0, -1, 0, true], w: [0, 1, 0, true], d: [1, 0, 0, true],
  "+": [0, 0, -1], "=": [0, 0, -1], "-": [0, 0, 1],
};
