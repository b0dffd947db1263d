import { rm, writeFile } from 'node:fs/promises'
import { sqlitePath } from './open.ts'

/** A file that only one process may write has no place where another could leave word. So that is a file beside it. */
const requestOf = (eventStoreUrl: string): string | null => {
  const path = sqlitePath(eventStoreUrl)
  return path === null ? null : `${path}.resume-webhooks`
}

/** Asks the process that writes the event store to send webhooks again. */
export async function requestToResume(eventStoreUrl: string): Promise<void> {
  const path = requestOf(eventStoreUrl)
  if (path !== null) await writeFile(path, '')
}

/** Has a process asked so? Then that is forgotten. */
export async function takeRequestToResume(eventStoreUrl: string): Promise<boolean> {
  const path = requestOf(eventStoreUrl)
  if (path === null) return false
  return rm(path).then(
    () => true,
    () => false,
  )
}
