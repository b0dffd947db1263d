import { readFile } from 'node:fs/promises'

/** Reads a file at the first need, and again only if that failed. */
export function readOnce(file: URL): () => Promise<Buffer> {
  let reading: Promise<Buffer> | null = null
  return () => {
    reading ??= readFile(file).catch((error: unknown) => {
      reading = null
      throw error
    })
    return reading
  }
}
