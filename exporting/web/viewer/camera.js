// Cameras: poses as 12 numbers (camera to world, row by row, OpenGL's axes), in scene units.

const add = (a, b, f = 1) => a.map((v, i) => v + f * b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) =>
  [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const length = (a) => Math.hypot(...a);
const unit = (a) => a.map((v) => v / Math.max(length(a), 1e-12));
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const column = (pose, i) => [pose[i], pose[4 + i], pose[8 + i]];
const poseOf = (x, y, z, eye) => [0, 1, 2].flatMap((i) => [x[i], y[i], z[i], eye[i]]);

// From the input's coordinates (3x4 or 4x4; nested, or 12 or 16 numbers) to the scene's.
function fromInput(meta, c2w) {
  const m = c2w.flat(), { rotation: r, scale, translation } = meta.fromInput;
  const turn = (v) => [0, 1, 2].map((i) => r[3 * i] * v[0] + r[3 * i + 1] * v[1] + r[3 * i + 2] * v[2]);
  const axes = [0, 1, 2].map((i) => turn([m[i], m[4 + i], m[8 + i]]));
  const eye = add(turn([m[3], m[7], m[11]]).map((v) => scale * v), translation);
  return poseOf(...axes, eye);
}

// The exposure to expect there (models/appearance/nearby.py).
function exposureAt(meta, pose) {
  const e = meta.exposure;
  if (!e) return NOT_EXPOSED;
  const eye = column(pose, 3), axis = column(pose, 2);
  const far = e.photos.map((photo) => {
    const place = add(photo.slice(0, 3), eye, -1), turn = add(photo.slice(3), axis, -1);
    return dot(place, place) / e.radius2 + dot(turn, turn);
  });
  const mean = (values, trust) => {
    const weights = far.map((d) => 1 / Math.max(d, 1e-6) ** 2);
    const total = Math.max(weights.reduce((a, b) => a + b, 0), 1e-12);
    // A photo's own camera gets the photo's own; single precision has no exact zero here.
    const own = Math.min(...far) < 1e-10 ? 1 : trust;
    return [0, 1, 2].map((i) => own * values.reduce((s, v, n) => s + weights[n] * v[i], 0) / total);
  };
  return { gain: mean(e.logGain, e.trust[0]).map(Math.exp), offset: mean(e.offset, e.trust[1]) };
}

// The flight at `frame`, which may lie between two: places and axes are interpolated.
function flightPose(meta, frame) {
  const { poses } = meta.flight, n = poses.length, i = Math.floor(frame) % n, f = frame % 1;
  const a = poses[i], b = poses[(i + 1) % n], mixed = a.map((v, j) => (1 - f) * v + f * b[j]);
  const z = unit(column(mixed, 2)), x = unit(cross(column(mixed, 1), z));
  return poseOf(x, cross(z, x), z, column(mixed, 3));
}

// The lens that shows in a window what the flight's frames show: all of an object; of a place not
// all, where the window has another shape, so that little is in sight that no photo showed.
function lensFor(meta, width, height, zoom = 1) {
  const { fx, fy, width: w, height: h } = meta.flight, crop = CROPS[meta.kind];
  const all = Math.min(width / w, height / h), full = Math.max(width / w, height / h);
  const factor = zoom * all ** (1 - crop) * full ** crop;
  return { fx: fx * factor, fy: fy * factor, cx: width / 2, cy: height / 2, width, height, factor };
}

const CROPS = { box: 0, contracted: 0.2, ndc: 0.75 };

// An eye that turns about a target, upright.
class Orbit {
  constructor(meta) {
    this.meta = meta;
    this.limited = true;
    this.up = unit(meta.up);
    const side = Math.abs(this.up[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0];
    this.first = unit(cross(side, this.up));
    this.second = cross(this.up, this.first);
    this.photos = meta.photos.map((p) => ({ eye: p.slice(0, 3), back: p.slice(3) }));
    this.aim(meta.flight.poses[0]);
  }

  // Take over from a pose, turning about what is before it.
  aim(pose) {
    const eye = column(pose, 3), back = column(pose, 2);
    const ahead = -dot(add(this.meta.subject, eye, -1), back);
    this.distance = Math.max(ahead, 0.05 * this.meta.reach);
    this.target = add(eye, back, -this.distance);
    this.angles(back);
  }

  angles(back) {
    this.elevation = Math.asin(clamp(dot(back, this.up), -1, 1));
    this.azimuth = Math.atan2(dot(back, this.second), dot(back, this.first));
  }

  back() {
    const c = Math.cos(this.elevation), s = Math.sin(this.elevation);
    const flat = add(this.first.map((v) => v * Math.cos(this.azimuth)), this.second, Math.sin(this.azimuth));
    return add(flat.map((v) => v * c), this.up, s);
  }

  pose() {
    const z = this.back(), x = unit(cross(this.up, z));
    return poseOf(x, cross(z, x), z, add(this.target, z, this.distance));
  }

  turn(azimuth, elevation) {
    this.azimuth += azimuth;
    this.elevation = clamp(this.elevation + elevation, -1.54, 1.54);
    this.limit();
  }

  zoom(factor) {
    this.distance = clamp(this.distance * factor, 0.02 * this.meta.reach, 20 * this.meta.reach);
    this.limit();
  }

  // Moves the target across the view, in distances of the eye.
  pan(right, up) {
    const pose = this.pose();
    this.target = add(this.target, column(pose, 0), right * this.distance);
    this.target = add(this.target, column(pose, 1), up * this.distance);
    this.limit();
  }

  // Where photos looked: about a subject, in directions and at distances near theirs; elsewhere,
  // near the photos' own places and the ways they faced.
  limit() {
    if (!this.limited) return;
    const { meta } = this, { limits } = meta;
    const off = add(this.target, meta.subject, -1), far = length(off);
    if (far > limits.target) this.target = add(meta.subject, off, limits.target / far);
    if (limits.around) {
      this.distance = clamp(this.distance, limits.distance[0], limits.distance[1]);
      const directions = this.photos.map((p) => unit(add(p.eye, meta.subject, -1)));
      this.angles(nearTo(this.back(), directions, limits.angle));
      return;
    }
    this.angles(nearTo(this.back(), this.photos.map((p) => p.back), limits.angle));
    let eye = add(this.target, this.back(), this.distance), best = null, least = Infinity;
    for (const photo of this.photos) {
      const d = length(add(eye, photo.eye, -1));
      if (d < least) [best, least] = [photo.eye, d];
    }
    if (least > limits.step) {
      eye = add(best, add(eye, best, -1), limits.step / least);
      this.target = add(eye, this.back(), -this.distance);
    }
  }
}

// The direction, turned until it is within an angle of the nearest of some.
function nearTo(direction, some, angle) {
  let best = some[0], most = -2;
  for (const one of some) if (dot(one, direction) > most) [best, most] = [one, dot(one, direction)];
  const between = Math.acos(clamp(most, -1, 1));
  if (between <= angle) return direction;
  const side = unit(add(direction, best, -most));
  return add(best.map((v) => v * Math.cos(angle)), side, Math.sin(angle));
}
