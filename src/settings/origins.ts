/**
 * Origins as a browser sends them (RFC 6454 §6.1): scheme, host and the port that is not the scheme's own.
 * @param text separated by spaces
 * @throws Error that says what is wrong, without the value
 */
export function parseOrigins(text: string): readonly string[] {
  const origins = text.split(/\s+/).filter((origin) => origin !== '')
  if (origins.length === 0 || !origins.every(isOrigin)) {
    throw new Error('must be origins with spaces between them, each like https://app.example.com')
  }
  return origins
}

/** In the one form in which a browser writes it: in lower case, a name of other letters in its ASCII form. */
const isOrigin = (text: string): boolean =>
  /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text
