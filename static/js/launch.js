// The launch form, mirrored as it is typed: what the quota has left after it, the names on the buttons, and the request as curl.
const form = document.getElementById("launch"), out = document.getElementById("curl"), copy = document.getElementById("curl-copy");
const gib = (mib) => (mib < 1024 ? `${mib} MiB` : `${Number((mib / 1024).toPrecision(4))} GiB`);
const whole = (text) => (/^\d{1,8}$/.test(text.trim()) ? Number(text) : null);

function tags(text) {
  const pairs = text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => part.split(/=(.*)/s));
  return Object.fromEntries(pairs.map(([key, value = ""]) => [key.trim(), value.trim()]));
}

function body(data) {
  const made = { name: data.get("name").trim() || "web-1", image_id: data.get("image") ?? "", flavor_id: data.get("size") ?? "" };
  if (data.get("key")) made.keypair_id = data.get("key");
  if (data.get("hostname").trim()) made.hostname = data.get("hostname").trim();
  if (data.get("user_data").trim()) made.user_data = data.get("user_data");
  if (data.get("config_drive")) made.config_drive = data.get("config_drive") === "none" ? "" : data.get("config_drive");
  if (data.getAll("network").length) made.network_ids = data.getAll("network");
  if (data.getAll("group").length) made.security_group_ids = data.getAll("group");
  if (whole(data.get("disk"))) made.disk_gib = whole(data.get("disk"));
  if ((whole(data.get("count")) ?? 1) !== 1) made.count = whole(data.get("count"));
  const pairs = tags(data.get("tags"));
  if (Object.keys(pairs).length) made.tags = pairs;
  return made;
}

function curl(data) {
  const json = JSON.stringify(body(data), null, 2).replaceAll("'", "'\\''");
  return `curl ${form.dataset.curl} \\\n  -H "Authorization: Bearer $CLOUDBOX_TOKEN" \\\n  -H "Content-Type: application/json" \\\n  -d '${json}'`;
}

function quota(data) {
  const size = form.querySelector("input[name=size]:checked"), count = whole(data.get("count")) ?? 1;
  if (!size) return;
  const { vcpus, memory, disk, name } = size.dataset;
  form.querySelector("[data-size]").firstChild.data = `${name} `;
  form.querySelector("[data-size-line]").textContent = `${vcpus} vCPU, ${gib(Number(memory))}${count > 1 ? `, ${count} times` : ""}`;
  const bar = form.querySelector("[data-size-bar]");
  if (bar) bar.textContent = name;
  const image = form.querySelector("input[name=image]:checked"), least = Number(image?.dataset.minDisk ?? 0);
  const each = { instances: 1, vcpus: Number(vcpus), memory_mib: Number(memory), disk_gib: whole(data.get("disk")) || Math.max(Number(disk), least) };
  for (const line of form.querySelectorAll("[data-quota]")) {
    const name = line.dataset.quota, used = Number(line.dataset.used), limit = Number(line.dataset.limit) || 0, more = each[name] * count;
    line.querySelector("[data-after]").textContent = name === "memory_mib" ? gib(used + more) : used + more;
    line.querySelector("dd").classList.toggle("is-over", Boolean(limit) && used + more > limit);
    const room = limit ? Math.max(0, Math.min(100 - Math.min(100, (100 * used) / limit), (100 * more) / limit)) : 0;
    line.querySelector("[data-new-part]").setAttribute("width", `${room.toFixed(1)}%`);
  }
}

function mirror() {
  const data = new FormData(form), count = whole(data.get("count")) ?? 1, name = data.get("name").trim();
  quota(data);
  form.querySelectorAll("[data-launch]").forEach((button) => { button.textContent = `Launch ${count > 1 ? `${count} instances` : name}`.trim(); });
  out.textContent = curl(data);
  copy.dataset.copy = out.textContent;
}

if (form) {
  form.addEventListener("input", mirror);
  mirror();
}
