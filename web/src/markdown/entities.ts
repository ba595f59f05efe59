// Stands in for the package "entities", which markdown-it asks for two functions and which brings
// thirty kilobytes of names: the browser knows them all.

const decoder = document.createElement('textarea');

// `text` is one reference, as "&amp;"; nothing else is given to it.
export function decodeHTML(text: string): string {
  if (!/^&(?:#x?[\da-f]+|[a-z\d]+);?$/i.test(text)) return text;
  decoder.innerHTML = text;
  return decoder.value;
}

export const decodeHTMLStrict = decodeHTML;
