/** A brace, or a string with the colon behind it if it is the name of a member. */
const BRACE_OR_STRING = /[{}]|("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/g

/**
 * The first member that an object has twice, however it is spelt, at any depth; null where none has. `JSON.parse` keeps
 * the last of them and says nothing, so that a reader who takes the first one would read something else.
 * @param json of what is no JSON any answer is as good as another
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
