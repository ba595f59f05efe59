// Markdown as it would be read aloud.

export function plain(markdown: string): string {
  return markdown
    .replace(/```(\w*)[\s\S]*?(?:```|$)/g, (_, lang: string) => ` (${lang} code) `)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^[ \t]*(?:#{1,6}|[-*+>]|\d+\.)[ \t]+/gm, '')
    .replace(/[*_`~$|]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}
