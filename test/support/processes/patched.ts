import { rmSync } from 'node:fs'
import { copyFile, cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { projectRoot } from '../project/package.ts'

const made: string[] = []

/**
 * The service with parts of one compiled file replaced, to show that a test fails when a guard is off.
 * @param file below `dist`
 * @returns the command that runs it
 */
export async function patchedService(
  file: string,
  replacements: readonly (readonly [found: string, put: string])[],
): Promise<string[]> {
  // It is inside the project, so that it finds the dependencies.
  await mkdir(join(projectRoot, '.cache'), { recursive: true })
  const folder = await mkdtemp(join(projectRoot, '.cache', 'patched-'))
  made.push(folder)
  await copyFile(join(projectRoot, 'package.json'), join(folder, 'package.json'))
  for (const part of ['src', 'projections']) {
    await cp(join(projectRoot, 'dist', part), join(folder, 'dist', part), { recursive: true })
  }
  const path = join(folder, 'dist', file)
  let text = await readFile(path, 'utf8')
  for (const [found, put] of replacements) {
    if (!text.includes(found)) throw new Error(`${file} has no '${found}' any more`)
    text = text.replace(found, put)
  }
  await writeFile(path, text)
  return [process.execPath, join(folder, 'dist/src/main.js')]
}

process.once('exit', () => made.forEach((folder) => rmSync(folder, { recursive: true, force: true })))
