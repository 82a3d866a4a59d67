// Draws 3D Gaussians with WebGL 2, tinted by relevancy, and the best grasp of the chosen query.
// Drag to rotate, wheel or two fingers to zoom, arrow keys to rotate.
(() => {
  const root = document.getElementById("scene3d");
  const data = JSON.parse(document.getElementById("scene3d-data").textContent);
  const canvas = root.querySelector("canvas");
  const gl = canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: false });
  if (!gl) {
    root.classList.add("unavailable");
    return;
  }

  // ── decoding ─────────────────────────────────────────────────────────────────────────────────
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const half = (h) => {
    const exponent = (h >> 10) & 31, fraction = h & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    return h & 32768 ? -size : size;
  };
  const n = data.count;
  const place = new Uint16Array(bytes(data.centers).buffer);
  const centers = Float32Array.from(place, (v, k) => data.low[k % 3] + (v / 65535) * data.span);
  const spread = new Uint16Array(bytes(data.covariances).buffer);
  const unit = (data.scale * data.scale) / 1e4;
  const paint = bytes(data.colors);
  const relevancies = data.relevancies.map(bytes);

  // ── programs ─────────────────────────────────────────────────────────────────────────────────
  function program(vertex, fragment) {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, "#version 300 es\nprecision highp float;\n" + source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    return made;
  }
  // Camera: x right, y down, z forward; near and far planes at 1 % and 100 times the scene's scale.
  const shared = `
    uniform mat4 T_cam_world; uniform vec2 focal; uniform vec2 size; uniform float scale;
    vec4 clip(vec3 p) {
      float near = 0.01 * scale, far = 100.0 * scale;
      float z = (far + near) / (far - near) * p.z - 2.0 * far * near / (far - near);
      return vec4(2.0 * focal * vec2(p.x, -p.y) / size, z, p.z);
    }`;
  // The image of a Gaussian is about a Gaussian with the covariance J W S W' J' (Zwicker et al. 2001).
  const splats = program(shared + `
    layout(location = 0) in vec2 corner; layout(location = 1) in uint index;
    uniform highp sampler2D table; uniform vec3 tint; uniform float glow;
    out vec2 at; out vec4 color;
    vec4 cell(int k) { int i = int(index) * 4 + k; return texelFetch(table, ivec2(i % 4096, i / 4096), 0); }
    void main() {
      vec4 a = cell(0), b = cell(1), c = cell(2), d = cell(3);
      vec3 p = (T_cam_world * vec4(a.xyz, 1.0)).xyz;
      gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
      if (p.z < 0.02 * scale) return;
      mat3 S = mat3(b.x, b.y, b.z, b.y, b.w, c.x, b.z, c.x, c.y);
      mat3 W = mat3(T_cam_world);
      vec2 f = focal / p.z, lean = clamp(p.xy / p.z, -1.3 * size / focal, 1.3 * size / focal);
      mat3 J = mat3(f.x, 0.0, 0.0, 0.0, f.y, 0.0, -f.x * lean.x, -f.y * lean.y, 0.0);
      mat3 M = J * W, V = M * S * transpose(M);
      float xx = V[0][0] + 0.3, xy = V[0][1], yy = V[1][1] + 0.3;
      float mean = 0.5 * (xx + yy), rest = length(vec2(0.5 * (xx - yy), xy));
      vec2 lambda = max(vec2(mean + rest, mean - rest), 0.1);
      vec2 axis = abs(xy) > 1e-6 ? normalize(vec2(xy, lambda.x - xx)) : (xx >= yy ? vec2(1, 0) : vec2(0, 1));
      vec2 radius = min(3.0 * sqrt(lambda), size);
      vec2 offset = corner.x * radius.x * axis + corner.y * radius.y * vec2(-axis.y, axis.x);
      at = 3.0 * corner;
      vec4 middle = clip(p);
      gl_Position = middle + vec4(2.0 * vec2(offset.x, -offset.y) / size * middle.w, 0.0, 0.0);
      float r = glow * c.z;
      color = vec4(mix(d.rgb, tint, 0.8 * r), a.w);
    }`, `
    in vec2 at; in vec4 color; out vec4 pixel;
    void main() {
      float alpha = color.a * exp(-0.5 * dot(at, at));
      if (alpha < 0.004) discard;
      pixel = vec4(color.rgb * alpha, alpha);
    }`);
  const solids = program(shared + `
    layout(location = 0) in vec3 corner; layout(location = 1) in vec3 normal;
    uniform vec3 tint; out vec3 color;
    void main() {
      vec3 p = (T_cam_world * vec4(corner, 1.0)).xyz, facing = normalize(mat3(T_cam_world) * normal);
      gl_Position = clip(p);
      color = tint * (0.45 + 0.55 * abs(dot(facing, normalize(p))));
    }`, `in vec3 color; out vec4 pixel; void main() { pixel = vec4(color, 1.0); }`);
  const at = (used, name) => gl.getUniformLocation(used, name);

  // ── buffers ──────────────────────────────────────────────────────────────────────────────────
  const rows = Math.ceil((n * 4) / 4096);
  const table = new Float32Array(rows * 4096 * 4);
  for (let i = 0; i < n; i++) {
    const cov = Array.from({ length: 6 }, (_, k) => half(spread[6 * i + k]) * unit);
    table.set([centers[3 * i], centers[3 * i + 1], centers[3 * i + 2], paint[4 * i + 3] / 255,
      cov[0], cov[1], cov[2], cov[3], cov[4], cov[5], 0, 0,
      paint[4 * i] / 255, paint[4 * i + 1] / 255, paint[4 * i + 2] / 255, 0], 16 * i);
  }
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  const upload = () =>
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, 4096, rows, 0, gl.RGBA, gl.FLOAT, table);

  const quads = gl.createVertexArray();
  gl.bindVertexArray(quads);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  gl.enableVertexAttribArray(0);
  gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
  const order = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, order);
  gl.enableVertexAttribArray(1);
  gl.vertexAttribIPointer(1, 1, gl.UNSIGNED_INT, 0, 0);
  gl.vertexAttribDivisor(1, 1);

  function mesh(corners) {
    const array = gl.createVertexArray(), values = [];
    for (let k = 0; k < corners.length; k += 9) {
      const [a, b, c] = [0, 3, 6].map((o) => corners.slice(k + o, k + o + 3));
      const normal = cross(minus(b, a), minus(c, a));
      for (const v of [a, b, c]) values.push(...v, ...normal);
    }
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(values), gl.STATIC_DRAW);
    for (const k of [0, 1]) {
      gl.enableVertexAttribArray(k);
      gl.vertexAttribPointer(k, 3, gl.FLOAT, false, 24, 12 * k);
    }
    return { array, count: corners.length / 3 };
  }

  // ── camera ───────────────────────────────────────────────────────────────────────────────────
  const minus = (a, b) => a.map((v, k) => v - b[k]);
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const normal = (a) => a.map((v) => v / Math.hypot(...a));
  const up = normal(data.up), away = minus(data.eye, data.center);
  const east = normal(cross(Math.abs(dot(up, normal(away))) < 0.99 ? away : [up[1], up[2], up[0]], up));
  const north = cross(up, east);
  const home = {
    target: data.center, turn: Math.atan2(dot(away, north), dot(away, east)),
    rise: Math.asin(dot(normal(away), up)), distance: Math.hypot(...away),
  };
  let camera = { ...home };

  function pose() {
    const { turn, rise, distance, target } = camera;
    const back = up.map((v, k) =>
      Math.cos(rise) * (Math.cos(turn) * east[k] + Math.sin(turn) * north[k]) + Math.sin(rise) * v);
    const eye = target.map((v, k) => v + distance * back[k]);
    const z = back.map((v) => -v), x = normal(cross(z, up)), y = cross(z, x);
    return { eye, x, y, z };
  }

  // ── drawing ──────────────────────────────────────────────────────────────────────────────────
  const grippers = data.queries.map((query) => mesh(query.gripper));
  let chosen = 0, pending = false;
  const indices = new Uint32Array(n), keys = new Uint16Array(n), starts = new Uint32Array(65537);

  // Counting sort by depth, the farthest first.
  function sort(eye, z) {
    const low = dot(z, eye), depths = new Float32Array(n);
    let nearest = Infinity, farthest = -Infinity;
    for (let i = 0; i < n; i++) {
      const d = centers[3 * i] * z[0] + centers[3 * i + 1] * z[1] + centers[3 * i + 2] * z[2] - low;
      depths[i] = d;
      nearest = Math.min(nearest, d);
      farthest = Math.max(farthest, d);
    }
    starts.fill(0);
    const step = 65535 / Math.max(farthest - nearest, 1e-9);
    for (let i = 0; i < n; i++) {
      keys[i] = (farthest - depths[i]) * step;
      starts[keys[i] + 1]++;
    }
    for (let k = 0; k < 65536; k++) starts[k + 1] += starts[k];
    for (let i = 0; i < n; i++) indices[starts[keys[i]]++] = i;
    gl.bindBuffer(gl.ARRAY_BUFFER, order);
    gl.bufferData(gl.ARRAY_BUFFER, indices, gl.DYNAMIC_DRAW);
  }

  function draw() {
    pending = false;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const size = [canvas.width, canvas.height], focal = 1.1 * Math.min(...size);
    const { eye, x, y, z } = pose();
    const matrix = [x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0,
      -dot(x, eye), -dot(y, eye), -dot(z, eye), 1];
    const tint = data.queries.length ? data.queries[chosen].color.map((v) => v / 255) : [1, 1, 1];
    gl.viewport(0, 0, ...size);
    gl.depthMask(true);
    gl.clearColor(0.09, 0.1, 0.12, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const set = (used) => {
      gl.useProgram(used);
      gl.uniformMatrix4fv(at(used, "T_cam_world"), false, matrix);
      gl.uniform2f(at(used, "focal"), focal, focal);
      gl.uniform2f(at(used, "size"), ...size);
      gl.uniform1f(at(used, "scale"), data.scale);
      gl.uniform3f(at(used, "tint"), ...tint);
    };
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    if (data.queries.length && grippers[chosen].count) {
      set(solids);
      gl.uniform3f(at(solids, "tint"), 0.84, 0.86, 0.9);
      gl.bindVertexArray(grippers[chosen].array);
      gl.drawArrays(gl.TRIANGLES, 0, grippers[chosen].count);
    }
    // Gaussians are hidden by the gripper, and blend over it where they are in front.
    set(splats);
    sort(eye, z);
    gl.depthMask(false);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform1f(at(splats, "glow"), root.querySelector("input").checked ? 1 : 0);
    gl.bindVertexArray(quads);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, n);
    root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
  }
  const redraw = () => {
    if (!pending) requestAnimationFrame(draw);
    pending = true;
  };

  function choose(k) {
    chosen = k;
    for (let i = 0; i < n && relevancies.length; i++) table[16 * i + 10] = relevancies[k][i] / 255;
    upload();
    root.querySelectorAll("button[data-query]").forEach((button, i) =>
      button.setAttribute("aria-pressed", String(i === k)));
    redraw();
  }

  // ── interaction ──────────────────────────────────────────────────────────────────────────────
  const turn = (dx, dy) => {
    camera.turn -= dx;
    camera.rise = Math.min(1.5, Math.max(-1.5, camera.rise + dy));
    redraw();
  };
  const zoom = (factor) => {
    camera.distance = Math.min(20 * data.scale, Math.max(0.1 * data.scale, camera.distance * factor));
    redraw();
  };
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const others = [...fingers].filter(([id]) => id !== event.pointerId);
    const now = [event.clientX, event.clientY];
    if (others.length) {
      const apart = (p) => Math.hypot(p[0] - others[0][1][0], p[1] - others[0][1][1]);
      zoom(apart(before) / Math.max(apart(now), 1));
    } else turn((now[0] - before[0]) / 150, (now[1] - before[1]) / 150);
    fingers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY / 600));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (step) turn(...step);
    else if (event.key === "+") zoom(0.9);
    else if (event.key === "-") zoom(1.1);
    else return;
    event.preventDefault();
  });
  root.querySelectorAll("button[data-query]").forEach((button, k) =>
    button.addEventListener("click", () => choose(k)));
  root.querySelector("button[data-home]").addEventListener("click", () => {
    camera = { ...home };
    redraw();
  });
  root.querySelector("button[data-near]").addEventListener("click", () => {
    const point = data.queries[chosen]?.point;
    if (point) camera = { ...camera, target: point, distance: 0.45 * data.scale };
    redraw();
  });
  root.querySelector("input").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(canvas);
  choose(0);
})();
