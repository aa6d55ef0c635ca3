// [data-command="form-id"]: the curl of a form follows what is typed. data-fields="name kind cidr? port_min:int nat:bool"; "?" leaves out what is empty.
for (const place of document.querySelectorAll("[data-command]")) {
  const form = document.getElementById(place.dataset.command);
  if (!form) continue;
  const head = place.textContent.split(" \\\n  -d ")[0], button = place.closest(".cb-code")?.querySelector("[data-copy]");
  const write = () => {
    const text = `${head} \\\n  -d '${JSON.stringify(body(form, place.dataset.fields)).replaceAll("'", String.raw`'\''`)}'`;
    place.textContent = text;
    if (button) button.dataset.copy = text;
  };
  form.addEventListener("input", write);
  form.addEventListener("change", write);
}

function body(form, fields) {
  const data = new FormData(form), result = {};
  for (const word of fields.split(" ")) {
    const optional = word.endsWith("?"), [name, type] = word.replace("?", "").split(":"), value = data.get(name)?.trim() ?? "";
    if (type === "bool") result[name] = data.has(name);
    else if (!value && (optional || type === "int")) continue;
    else result[name] = type === "int" ? Number(value) : value;
  }
  return result;
}
