import { type ChildProcess, spawn } from 'node:child_process'
import { appendFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { eventually } from '../support/suite/eventually.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'

const COMPILES_MS = 60_000

/** Works on a copy of the sources, since the program compiles what is changed. */
describe('npm run dev', function () {
  this.timeout(200_000)
  let folder: string
  let dev: ChildProcess
  let output = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dev-'))
    for (const part of [
      'package.json',
      'tsconfig.json',
      'src',
      'projections',
      'dist/src',
      'dist/projections',
    ]) {
      await cp(join(projectRoot, part), join(folder, part), { recursive: true })
    }
    await cp(join(projectRoot, 'dist/scripts/build'), join(folder, 'dist/scripts/build'), { recursive: true })
    await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'))
    dev = spawn(process.execPath, ['dist/scripts/build/dev.js'], {
      cwd: folder,
      env: { PATH: process.env.PATH, PORT: '0', JWT_SECRET: SECRET, TOKEN_PEPPERS: PEPPERS },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    for (const stream of [dev.stdout, dev.stderr]) {
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    }
  })

  after(async () => {
    dev.kill('SIGTERM')
    if (dev.exitCode === null) await new Promise((resolve) => dev.once('exit', resolve))
    await rm(folder, { recursive: true, force: true })
  })

  const urls = (): string[] => [...output.matchAll(/"url":"(http:[^"]+)"/g)].map(([, url = '']) => url)
  const isLive = async (url = ''): Promise<boolean> =>
    (await fetch(`${url}/health/live`).catch(() => null))?.status === 200

  it('starts the service anew when a source was changed, after a stop in order', async () => {
    await eventually(() => expect(urls()).to.have.length(1), COMPILES_MS)
    await appendFile(join(folder, 'src/version.ts'), '\nexport const changed = 1\n')
    await eventually(() => expect(urls()).to.have.length(2), COMPILES_MS)
    expect(output.match(/"code":0,"msg":"stopped"/g)).to.have.length(1)
    expect(await isLive(urls()[1])).to.equal(true)
  })

  it('lets it run when a change does not compile, and says why', async () => {
    await appendFile(join(folder, 'src/version.ts'), '\nexport const wrong: string = 1\n')
    await eventually(() => expect(output).to.match(/src\/version\.ts.*error TS2322/), COMPILES_MS)
    expect(await isLive(urls()[1])).to.equal(true)
    expect(urls()).to.have.length(2)
  })

  it('ends all of it in order at Ctrl-C, however often that is heard of', async () => {
    const exited = new Promise((resolve) => dev.once('exit', resolve))
    for (let times = 0; times < 2; times++) process.kill(-(dev.pid as number), 'SIGINT')
    expect(await exited).to.equal(0)
    expect(output.match(/"code":0,"msg":"stopped"/g)).to.have.length(2)
    expect(await isLive(urls()[1])).to.equal(false)
  })
})
