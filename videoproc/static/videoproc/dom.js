// Builds elements. Text is only ever set as text, so no name or tag of a file can become markup.

/** Make an element: properties, then children (nodes or text; null and false are left out). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const section = (title, ...children) => make("section", {}, make("h4", { textContent: title }), ...children);
