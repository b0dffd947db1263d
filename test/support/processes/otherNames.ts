import { spawnSync } from 'node:child_process'
import { link, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MAIN, ownFolder } from './service.ts'

/** A place in which a second service sees the files of the first one under another name. */
export interface OtherName {
  folder: string
  command?: readonly string[]
}

const service = [process.execPath, MAIN]

async function folderWithData(): Promise<string> {
  const folder = await ownFolder()
  await mkdir(join(folder, 'data'))
  return folder
}

/** Runs the service in a mount namespace of its own in which one file is mounted over another, as in a container. */
async function mounted(first: string): Promise<OtherName> {
  const folder = await folderWithData()
  const target = join(folder, 'data', 'events.db')
  await writeFile(target, '')
  const script = `mount --bind '${join(first, 'data', 'events.db')}' '${target}' && exec "$@"`
  return { folder, command: ['unshare', '--mount', 'sh', '-c', script, 'sh', ...service] }
}

/** Processes of another container are invisible, so the number of the first process does not show whether it lives. */
async function inAnotherContainer(first: string): Promise<OtherName> {
  for (const name of ['events.db.lock', 'read-model.db.lock']) await rm(join(first, 'data', name))
  return {
    folder: first,
    command: ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...service],
  }
}

/** Other names of the event store of a service that runs in `first`, keyed by how they come about. */
export const OTHER_NAMES: Record<string, (first: string) => Promise<OtherName>> = {
  async 'a hard link'(first) {
    const folder = await folderWithData()
    await link(join(first, 'data', 'events.db'), join(folder, 'data', 'events.db'))
    return { folder }
  },
  async 'a symbolic link'(first) {
    const folder = await folderWithData()
    await symlink(join(first, 'data', 'events.db'), join(folder, 'data', 'events.db'))
    return { folder }
  },
  async 'a new name'(first) {
    const folder = await folderWithData()
    await rename(join(first, 'data', 'events.db'), join(folder, 'data', 'events.db'))
    return { folder }
  },
  async 'its own name, without the lock file'(first) {
    for (const name of ['events.db.lock', 'read-model.db.lock']) await rm(join(first, 'data', name))
    return { folder: first }
  },
  ...(mayMount() && {
    'a mount of the file alone': mounted,
    'its own name, without the lock file, in another container': inAnotherContainer,
  }),
}

/** Not every machine allows mounting. */
export function mayMount(): boolean {
  return spawnSync('unshare', ['--mount', 'true']).status === 0
}
