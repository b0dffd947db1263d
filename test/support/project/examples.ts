import { type ChildProcess, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { CLI } from '../processes/cli.ts'
import { PEPPERS, SECRET } from '../processes/ledger.ts'
import { projectRoot } from './package.ts'

/** Copies, installs and starts the examples of the docs, as a reader does. */

export interface Running {
  url: string
  child: ChildProcess
  /** Exit code. */
  exited: Promise<number | null>
}

const pathOf = (example: string): string => join(projectRoot, 'docs/examples', example)

/** Makes a copy and installs it, with this package as it is built in place of the published one. @returns its folder */
export async function installExample(example: string, packages: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'example-'))
  await cp(pathOf(example), folder, { recursive: true })
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, '.bin'), { recursive: true })
  for (const name of packages) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(projectRoot, 'node_modules', name), join(modules, name))
  }
  await symlink(projectRoot, join(modules, 'tokenledger'))
  // An installation makes the command executable; a build does not.
  const command = `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`
  await writeFile(join(modules, '.bin', 'tokenledger'), command, { mode: 0o755 })
  return folder
}

/**
 * Checks that the example depends on these packages and on this one, in the versions that this package is tested with.
 */
export async function assertDependencies(example: string, packages: readonly string[]): Promise<void> {
  const { dependencies } = JSON.parse(await readFile(join(pathOf(example), 'package.json'), 'utf8'))
  const own = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'))
  const versionOf = (name: string): unknown => own.dependencies[name] ?? own.devDependencies[name]
  expect(dependencies).to.deep.equal({
    ...Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
    tokenledger: `^${own.version}`,
  })
}

/** Runs the commands of the example's README against it. @returns what they print */
export async function runReadme(example: string, folder: string, url: string): Promise<string> {
  const readme = await readFile(join(pathOf(example), 'README.md'), 'utf8')
  const script = /```sh\n([\s\S]*?)```/.exec(readme)?.[1]?.replace('http://127.0.0.1:4000', url) ?? ''
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    env: { ...environment(), npm_config_offline: 'true' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  shell.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  expect(await new Promise((resolve) => shell.once('close', resolve))).to.equal(0)
  return printed
}

const environment = () => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  JWT_SECRET: SECRET,
  TOKEN_PEPPERS: PEPPERS,
})

/** Resolves when the example listens. */
export async function startExample(folder: string, program = 'app.js'): Promise<Running> {
  const child = spawn(process.execPath, [program], {
    cwd: folder,
    env: { ...environment(), PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const url = await new Promise<string>((resolve, reject) => {
    let printed = ''
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      const [, found] = /listening on (\S+)\n/.exec(printed) ?? []
      if (found !== undefined) resolve(found)
    })
    void exited.then((code) => reject(new Error(`the example ended with ${code}`)))
  })
  return { url, child, exited }
}
