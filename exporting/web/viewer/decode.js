// The page's bytes: from base64 and deflate to the textures' contents (exporting/web/pack.py).

const BRICK = 8, SIDE = 9;

const pause = () => new Promise((resolve) => setTimeout(resolve));

async function readField(meta, progress) {
  const parts = [];
  const scripts = document.querySelectorAll("script.field");
  for (const script of scripts) {
    const text = atob(script.textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    parts.push(bytes);
    script.remove();
    progress(0.5 * parts.length / scripts.length);
    await pause();
  }
  // The cells' bytes, and one for each channel of each corner.
  const blob = new Blob(parts), [first, second] = meta.streams, masksAt = 4 * meta.bricks;
  const cells = await inflated(blob.slice(0, first), 68 * meta.bricks);
  const values = await inflated(blob.slice(first, first + second), meta.low.length * meta.corners,
    (share) => progress(0.5 + 0.2 * share));
  const planes = meta.low.map((_, c) => values.subarray(c * meta.corners, (c + 1) * meta.corners));
  return {
    positions: new Uint32Array(cells.buffer, 0, meta.bricks),
    masks: cells.subarray(masksAt),
    planes,
  };
}

async function inflated(blob, size, progress = () => {}) {
  const reader = blob.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const whole = new Uint8Array(size);
  for (let at = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return whole;
    whole.set(value, at);
    at += value.length;
    progress(at / size);
  }
}

// Which corners there are, and how many lie before each word of 32 of them.
function numberCorners(meta, field) {
  const [nx, ny, nz] = meta.dims.map((n) => n + 1);
  const bits = new Uint32Array((nx * ny * nz >> 5) + 2);
  eachBrick(meta, field, (brick, bx, by, bz) => {
    for (let i = 0; i < BRICK; i++) for (let j = 0; j < BRICK; j++) {
      const row = field.masks[64 * brick + 8 * i + j];
      if (row === 0) continue;
      const ends = row | row << 1;  // corners of the cells along z
      for (let a = 0; a < 2; a++) for (let b = 0; b < 2; b++) {
        const first = ((8 * bx + i + a) * ny + 8 * by + j + b) * nz + 8 * bz;
        const shift = first & 31, word = first >>> 5;
        bits[word] |= ends << shift;
        if (shift > 23) bits[word + 1] |= ends >>> (32 - shift);
      }
    }
  });
  const before = new Uint32Array(bits.length);
  for (let w = 0, sum = 0; w < bits.length; w++) {
    before[w] = sum;
    sum += countBits(bits[w]);
  }
  return { ny, nz, nx, bits, before };
}

function countBits(v) {
  v -= v >>> 1 & 0x55555555;
  v = (v & 0x33333333) + (v >>> 2 & 0x33333333);
  return Math.imul(v + (v >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function eachBrick(meta, field, visit) {
  const [, by, bz] = meta.brickDims;
  for (let brick = 0; brick < meta.bricks; brick++) {
    const p = field.positions[brick];
    visit(brick, Math.floor(p / (by * bz)), Math.floor(p / bz) % by, p % bz);
  }
}

const numberOf = ({ bits, before }, corner) =>
  before[corner >>> 5] + countBits(bits[corner >>> 5] & (1 << (corner & 31)) - 1);

// Adds, in place, what is expected to what was left of it; planes then hold numbers of levels.
async function restoreValues(meta, field, corners, progress) {
  const { bits, before, ny, nz } = corners, steps = [1, nz, ny * nz], { planes } = field;
  const modulo = planes.map((_, c) => (c ? meta.levels : 256) - 1);  // powers of two
  for (let w = 0, next = 0; w < bits.length; w++) {
    for (let left = bits[w], at = before[w]; left !== 0; left &= left - 1, at++) {
      const corner = 32 * w + 31 - Math.clz32(left & -left), some = [];
      for (const step of steps) {
        const other = corner - step;
        if (other >= 0 && bits[other >>> 5] >>> (other & 31) & 1) some.push(numberOf(corners, other));
      }
      for (let c = 0; c < planes.length; c++) {
        let sum = 0;
        for (const other of some) sum += planes[c][other];
        planes[c][at] = planes[c][at] + Math.floor(sum / (some.length || 1)) & modulo[c];
      }
    }
    if (before[w] >= next) {
      progress(before[w] / meta.corners);
      next = before[w] + 200000;
      await pause();
    }
  }
}

// Bricks along the atlas's sides.
function atlasSize(count) {
  const side = Math.max(1, Math.ceil(Math.cbrt(count)));
  return [side, side, Math.max(1, Math.ceil(count / (side * side)))];
}

// One layer of bricks of the atlas: density (a byte a texel) and features (four, twice).
function fillLayer(meta, field, corners, atlas, layer) {
  const [ax, ay] = atlas, width = SIDE * ax, area = width * SIDE * ay;
  const texels = { density: new Uint8Array(area * SIDE) };
  texels.first = new Uint8Array(4 * area * SIDE);
  texels.last = new Uint8Array(4 * area * SIDE);
  const { nx, ny, nz, bits } = corners, [, by, bz] = meta.brickDims;
  const planes = field.planes;
  const levels = Uint8Array.from({ length: meta.levels }, (_, i) => Math.round(255 * i / (meta.levels - 1)));
  const end = Math.min(meta.bricks, (layer + 1) * ax * ay);
  for (let brick = layer * ax * ay; brick < end; brick++) {
    const slot = brick - layer * ax * ay, sx = SIDE * (slot % ax), sy = SIDE * Math.floor(slot / ax);
    const p = field.positions[brick];
    const x = 8 * Math.floor(p / (by * bz)), y = 8 * (Math.floor(p / bz) % by), z = 8 * (p % bz);
    const depth = Math.min(SIDE, nz - z);
    for (let i = 0; i < SIDE && x + i < nx; i++) for (let j = 0; j < SIDE && y + j < ny; j++) {
      const row = ((x + i) * ny + y + j) * nz + z;
      for (let k = 0; k < depth; k++) {
        const corner = row + k, word = corner >>> 5, bit = corner & 31;
        if ((bits[word] >>> bit & 1) === 0) continue;
        const at = numberOf(corners, corner);
        const texel = k * area + (sy + j) * width + sx + i;
        texels.density[texel] = planes[0][at];
        for (let c = 0; c < 4; c++) {
          texels.first[4 * texel + c] = levels[planes[1 + c][at]];
          texels.last[4 * texel + c] = levels[planes[5 + c][at]];
        }
      }
    }
  }
  return texels;
}

// For each brick of the lattice its place in the atlas and its octants, or how many bricks away the
// nearest one is (in the maximum norm, by two passes over 13 neighbours each).
function brickIndex(meta, field, atlas) {
  const [bx, by, bz] = meta.brickDims;
  const index = new Uint8Array(4 * bx * by * bz), away = new Uint8Array(bx * by * bz).fill(255);
  eachBrick(meta, field, (brick, x, y, z) => {
    let octants = 0;
    for (let i = 0; i < BRICK; i++) for (let j = 0; j < BRICK; j++) {
      const row = field.masks[64 * brick + 8 * i + j], first = (i >> 2) * 4 + (j >> 2) * 2;
      if (row & 15) octants |= 1 << first;
      if (row & 240) octants |= 2 << first;
    }
    const at = (z * by + y) * bx + x;
    index[4 * at] = brick % atlas[0];
    index[4 * at + 1] = Math.floor(brick / atlas[0]) % atlas[1];
    index[4 * at + 2] = Math.floor(brick / (atlas[0] * atlas[1]));
    index[4 * at + 3] = octants;
    away[at] = 0;
  });
  const back = [];
  for (let c = -1; c <= 1; c++) for (let b = -1; b <= 1; b++) for (let a = -1; a <= 1; a++) {
    if (c < 0 || c === 0 && (b < 0 || b === 0 && a < 0)) back.push([a, b, c]);
  }
  for (const sign of [1, -1]) {
    const total = bx * by * bz;
    for (let n = 0; n < total; n++) {
      const at = sign > 0 ? n : total - 1 - n;
      const x = at % bx, y = Math.floor(at / bx) % by, z = Math.floor(at / (bx * by));
      let nearest = away[at];
      for (const [a, b, c] of back) {
        const u = x + sign * a, v = y + sign * b, w = z + sign * c;
        if (u < 0 || v < 0 || w < 0 || u >= bx || v >= by || w >= bz) continue;
        nearest = Math.min(nearest, away[(w * by + v) * bx + u] + 1);
      }
      away[at] = nearest;
    }
  }
  for (let at = 0; at < away.length; at++) if (away[at] > 0) index[4 * at] = away[at];
  return index;
}
