import { posix } from 'node:path'

export interface Arrow {
  /** The path of the imported file, or the name of a package as it is written. */
  to: string
  isType: boolean
  line: number
}

/** The package imports itself by this name. */
const OWN_NAME = /^tokenledger$/

const ARROW =
  /^\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s*)?(['"])([^'"\n]+)\2|\bimport\s*\(\s*(?:(['"])([^'"\n]+)\4\s*\)|(`[^`]*`))|\brequire\s*\(\s*(['"])([^'"\n]+)\7|\bnew URL\(\s*(['"])(\.[^'"\n]*\.[jt]s)\9/gm

/**
 * What a file imports, in whatever form. It is found in the text alone, without comments.
 * @param file its path from the project's root
 */
export function arrowsOf(file: string, source: string): Arrow[] {
  const text = source.replace(/^\s*\/\*\*[^]*?\*\/|^\s*\/\/.*$/gm, (comment) =>
    comment.replace(/[^\n]/g, ' '),
  )
  return [...text.matchAll(ARROW)].map((match) => {
    const [all, type, , from, , lazily, computed, , required, , file_] = match
    const specifier = from ?? lazily ?? required ?? file_ ?? computed ?? ''
    const isOfProject = specifier.startsWith('.')
    const to = isOfProject
      ? posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')
      : specifier.replace(OWN_NAME, 'src/index.ts')
    return {
      to,
      isType: type !== undefined,
      line: text.slice(0, match.index + all.length).split('\n').length,
    }
  })
}

/** The room of a file: the longest of `rooms` with which its path begins. */
export function roomOf(path: string, rooms: readonly string[]): string | undefined {
  const [longest] = rooms
    .filter((room) => path === room || path.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)
  return longest
}
