// Elements are made without HTML text. Lists keep their elements, so that focus and open details are kept.

export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name === "on") for (const [type, handler] of Object.entries(value)) node.addEventListener(type, handler);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Rebuilds a node's content if `value`, the input of `build`, has changed.
export function rebuild(node, value, build) {
  const signature = JSON.stringify(value);
  if (signatures.get(node) === signature) return;
  signatures.set(node, signature);
  node.replaceChildren(...build(value).filter((child) => child !== null && child !== undefined));
}

// One child per item; `create` makes it once, `update` is called every time.
export function keyed(parent, items, keyOf, create, update = () => {}) {
  const known = lists.get(parent) ?? new Map();
  const kept = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const node = known.get(key) ?? create(item);
    kept.set(key, node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const [key, node] of known) if (!kept.has(key)) node.remove();
  lists.set(parent, kept);
}

const signatures = new WeakMap();
const lists = new WeakMap();
