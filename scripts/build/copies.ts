import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const SOURCE_MAP_COMMENT = /\n?(?:\/\/|\/\*)# sourceMappingURL=[^\n]*\s*$/

/**
 * Copies files without the comments that name their source maps, which stay behind: they are larger than what they
 * explain.
 * @param names by the name of each copy the name of the file
 */
export function copyFiles(from: URL, to: URL, names: Record<string, string>): void {
  mkdirSync(to, { recursive: true })
  for (const [copy, name] of Object.entries(names)) {
    const text = readFileSync(new URL(name, from), 'utf8').replace(SOURCE_MAP_COMMENT, '\n')
    writeWhole(new URL(copy, to), text)
  }
}

/** In one step: a service that runs from this folder never reads half a file. */
export function writeWhole(file: URL, text: string): void {
  const beside = new URL(`${file.href}.new`)
  writeFileSync(beside, text)
  renameSync(beside, file)
}
