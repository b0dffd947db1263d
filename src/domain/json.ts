/** A brace, or a string, with the colon behind it if it is the name of a member. */
const BRACE_OR_STRING = /[{}]|("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/g

/**
 * The first member that an object has twice, however it is spelt, at any depth; null if there is none. `JSON.parse`
 * silently keeps the last of them, while another reader may use the first one.
 * @param json for text that is no JSON the result means nothing
 */
export function repeatedMember(json: string): string | null {
  const objects: Set<string>[] = []
  for (const [token, string, colon] of json.matchAll(BRACE_OR_STRING)) {
    if (token === '{') objects.push(new Set())
    else if (token === '}') objects.pop()
    else if (string !== undefined && colon !== undefined) {
      const name = textOf(string)
      const members = objects.at(-1)
      if (members?.has(name)) return name
      members?.add(name)
    }
  }
  return null
}

function textOf(string: string): string {
  try {
    return JSON.parse(string) as string
  } catch {
    return string
  }
}
