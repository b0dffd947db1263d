import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { apiOf } from '../support/callers/api.ts'
import { CLI, cli } from '../support/processes/cli.ts'
import { PEPPERS, SECRET } from '../support/processes/ledger.ts'
import { fill } from '../support/events/movable.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'

/** Temporary files of commands hold hashes and addresses, so none of them may be left. */
describe('what a command puts down for a moment', () => {
  let folder: string
  let temporary: string
  const env = () => ({ TMPDIR: temporary })

  before(async () => {
    folder = await ownFolder()
    temporary = join(folder, 'tmp')
    mkdirSync(temporary)
    const service = await startService({ USAGE_FLUSH_MS: '20' }, folder)
    const api = apiOf(service.url)
    for (let n = 0; n < 20; n++) await api.use((await api.create({ name: `token ${n}` })).body.token)
    await service.stop()
    // An export of this many events takes long enough to be interrupted.
    const store = await openSqliteEventStore(join(folder, 'large.db'))
    await fill(store, 600)
    await store.close()
  })
  after(endServices)

  const large = { EVENT_STORE_URL: 'sqlite:large.db' }
  const start = (...args: string[]): ChildProcess =>
    spawn(process.execPath, [CLI, ...args], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        JWT_SECRET: SECRET,
        TOKEN_PEPPERS: PEPPERS,
        ...env(),
        ...(args[0] === 'export' ? large : {}),
      },
      stdio: 'ignore',
    })

  const filesIn = (path: string): string[] => readdirSync(path, { recursive: true }) as string[]

  /** Runs until there is a file that is not empty and has such a name. */
  async function runUntil(name: RegExp, at: string, ...args: string[]): Promise<ChildProcess> {
    const child = start(...args)
    for (const giveUpAt = Date.now() + 15_000; Date.now() < giveUpAt; await sleep(1)) {
      const found = filesIn(at).find((file) => name.test(file))
      if (found !== undefined && (statSync(join(at, found), { throwIfNoEntry: false })?.size ?? 0) > 0)
        return child
      if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} too soon`)
    }
    throw new Error('there was no such file')
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
    it(`goes when verify is ended by ${signal}, which ends it as ever`, async () => {
      const child = await runUntil(/fold\.db$/, temporary, 'verify')
      child.kill(signal)
      await once(child, 'exit')
      expect(child.signalCode).to.equal(signal)
      expect(filesIn(temporary)).to.deep.equal([])
    })
  }

  it('goes with the next run when verify was killed', async () => {
    const child = await runUntil(/fold\.db$/, temporary, 'verify')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(filesIn(temporary)).to.not.deep.equal([])
    expect((await cli(['verify'], folder, env())).code).to.equal(0)
    expect(filesIn(temporary)).to.deep.equal([])
  })

  it('stays when its own run is still at work, and when it is none of ours', async () => {
    const mine = join(temporary, 'tokenledger-fold-backup')
    mkdirSync(mine)
    writeFileSync(join(mine, 'notes'), 'mine')
    const running = await runUntil(/fold\.db$/, temporary, 'verify')
    running.kill('SIGSTOP')
    const there = filesIn(temporary).filter((file) => /fold-.{6}\/fold\.db$/.test(file))
    expect((await cli(['verify'], folder, env())).code).to.equal(0)
    expect(filesIn(temporary)).to.include.members(there)
    running.kill('SIGCONT')
    await once(running, 'exit')
    expect(running.exitCode).to.equal(0)
    expect(readdirSync(temporary)).to.deep.equal(['tokenledger-fold-backup'])
    expect(readFileSync(join(mine, 'notes'), 'utf8')).to.equal('mine')
    rmSync(mine, { recursive: true })
  })

  it('is for its owner alone', async () => {
    const modes = new Set<string>()
    const child = start('verify')
    while (child.exitCode === null) {
      for (const file of filesIn(temporary)) {
        const found = statSync(join(temporary, file), { throwIfNoEntry: false })
        if (found) modes.add(`${found.isDirectory() ? 'folder' : 'file'} ${(found.mode & 0o777).toString(8)}`)
      }
      await sleep(1)
    }
    expect([...modes].sort()).to.deep.equal(['file 600', 'folder 700'])
  })

  it('goes when an export is ended, or with the next one', async () => {
    const out = ['export', '--out', 'events.ndjson']
    // Files that SQLite has left beside a log whose reader was killed belong to the log.
    const left = (): string[] => readdirSync(folder).filter((name) => name.startsWith('events.ndjson'))
    for (const signal of ['SIGHUP', 'SIGTERM', 'SIGKILL'] as const) {
      const child = await runUntil(/\.tmp-.*content$/, folder, ...out)
      child.kill(signal)
      await once(child, 'exit')
      expect(child.signalCode).to.equal(signal)
      if (signal === 'SIGKILL') expect(left().join()).to.contain('.tmp-')
      else expect(left()).to.deep.equal([])
    }
    expect((await cli(out, folder, { ...env(), ...large })).code).to.equal(0)
    expect(left()).to.deep.equal(['events.ndjson'])
    expect(statSync(join(folder, 'events.ndjson')).mode & 0o777).to.equal(0o600)
  })
})
