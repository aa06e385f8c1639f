/** Return `text` as an address that may become a link, or null: only http and https, whoever wrote it. */
export function safeHttpUrl(text: string | null | undefined): URL | null {
  if (!text) return null;
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}
