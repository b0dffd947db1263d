import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openPlain } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { StoreInUseError } from '../../../src/application/ports/errors.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { childOf, startChild } from '../../contract/fixtures.child.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'
import { eventually } from '../../support/suite/eventually.ts'

describe('Who writes a SQLite file', () => {
  let folder: string
  let path: string
  let opened: EventStore[]

  const other = (name = 'events.db'): string => join(folder, 'other', name)
  const open = async (file = path): Promise<EventStore> => {
    const store = await openSqliteEventStore(file)
    opened.push(store)
    return store
  }
  const append = (store: EventStore, stream: string) => store.append(stream, 'no_stream', [makeEvent()])

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-claim-'))
    path = join(folder, 'events.db')
    mkdirSync(join(folder, 'other'))
    opened = []
  })
  afterEach(async () => {
    for (const store of opened) await store.close().catch(() => {})
    rmSync(folder, { recursive: true })
  })

  it('is asked for by a link that leads to no file yet, too', async () => {
    symlinkSync(path, other())
    const store = await open(other())
    expect(await rejection(open())).to.be.instanceOf(StoreInUseError)
    await append(store, 'a')
  })

  for (const [how, rename] of [
    ['a hard link', () => linkSync(path, other())],
    ['a new name', () => renameSync(path, other())],
    ['a new name in the same folder', () => renameSync(path, join(folder, 'other.db'))],
  ] as const) {
    const second = (): string => (how.includes('same folder') ? join(folder, 'other.db') : other())

    // If its file has got another name, a writer would append to a log that nobody reads.
    const isMoved = how.startsWith('a new name')
    const then = isMoved ? 'the writer stops, and goes on by the old name' : 'then any name will do'

    it(`is in the file, and so is seen under ${how}; when it has ended in order ${then}`, async () => {
      const child = await startChild(path)
      rename()
      const refused = await rejection(open(second()))
      expect(refused).to.be.instanceOf(StoreInUseError)
      expect((refused as Error).message).to.include(path)
      expect(await child.append('child-2')).to.match(isMoved ? /^StoreReplacedError/ : /^acknowledged$/)
      await child.stop()
      if (isMoved) renameSync(second(), path)
      const store = await open(isMoved ? path : second())
      for (const stream of isMoved ? ['child-1'] : ['child-1', 'child-2'])
        expect(await store.readStream(stream)).to.have.length(1)
    })

    it(`is still there after a kill, since ${how} leads away from what was written last`, async () => {
      const child = await startChild(path)
      rename()
      await child.kill()
      expect(await rejection(open(second()))).to.be.instanceOf(StoreInUseError)
      if (how === 'a hard link') {
        const store = await open()
        expect(await store.readStream('child-1')).to.have.length(1)
      } else {
        // The write-ahead log beside it has nothing to do with the missing file, and would be thrown away.
        expect(await rejection(open())).to.be.instanceOf(StoreUnavailableError)
        renameSync(second(), path)
        expect(await (await open()).readStream('child-1')).to.have.length(1)
      }
    })
  }

  it('is nobody in a copy, and the same in a folder that has moved', async () => {
    const child = await startChild(join(folder, 'here', 'events.db'))
    await child.kill()
    mkdirSync(join(folder, 'copy'))
    for (const name of ['events.db', 'events.db-wal']) {
      copyFileSync(join(folder, 'here', name), join(folder, 'copy', name))
    }
    expect(await (await open(join(folder, 'copy', 'events.db'))).readStream('child-1')).to.have.length(1)
    renameSync(join(folder, 'here'), join(folder, 'moved'))
    expect(await (await open(join(folder, 'moved', 'events.db'))).readStream('child-1')).to.have.length(1)
  })

  it('can be said again by hand where what was written last is gone for good', async () => {
    await (await startChild(path)).kill()
    renameSync(path, other())
    const database = await openPlain(other())
    database.exec('DELETE FROM writer')
    database.close()
    await append(await open(other()), 'a')
  })

  if (process.platform === 'linux') {
    it('is a process that is looked for, where somebody has deleted the lock', async () => {
      const child = await startChild(path)
      rmSync(`${path}.lock`)
      expect(await rejection(open())).to.be.instanceOf(StoreInUseError)
      expect(await child.append('child-2')).to.equal('acknowledged')
      await child.kill()
      expect(await (await open()).readStream('child-2')).to.have.length(1)
    })

    it('is nobody where the process has ended, and whoever started it has not looked yet', async () => {
      // The shell becomes a program that never asks what became of the processes that the shell has started.
      const parent = spawn(
        'sh',
        ['-c', 'exec 3<&0; "$@" <&3 & exec sleep 60', 'sh', process.execPath, ...childOf(path)],
        {
          stdio: ['pipe', 'pipe', 'inherit'],
        },
      )
      try {
        await once(parent.stdout, 'data')
        const [pid = ''] = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, 'utf8').split(' ')
        process.kill(Number(pid), 'SIGKILL')
        // Its files are closed with its last thread, a moment later than it is shown to have ended.
        const store = await eventually(() => open())
        expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).to.include(') Z ')
        expect(await store.readStream('child-1')).to.have.length(1)
      } finally {
        parent.kill()
      }
    })
  }

  it('is the last who came, where that cannot be told: the first writes and reads no more', async () => {
    const first = await open()
    await append(first, 'a')
    rmSync(`${path}.lock`)
    const second = await open()
    expect(await rejection(append(first, 'b'))).to.be.instanceOf(StoreUnavailableError)
    expect(await rejection(first.head())).to.be.instanceOf(StoreUnavailableError)
    await append(second, 'c')
    await first.close()
    expect((await append(second, 'd')).position).to.equal('0000000000000003')
    for (const stream of ['a', 'c', 'd']) expect(await second.readStream(stream)).to.have.length(1)
  })

  it('is noticed by a read model within a second, without a write', async () => {
    const file = join(folder, 'model.db')
    const first = await openSqliteReadModel(file)
    await first.open([people])
    const watch = first.watch('people', [], () => {})
    rmSync(`${file}.lock`)
    const second = await openSqliteReadModel(file)
    await second.open([people])
    await second.apply([put('a', 0, { email: 'a' })])
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    expect(watch.isLive()).to.equal(false)
    expect(await rejection(first.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
    expect(await second.get('people', 'a')).to.include({ email: 'a' })
    // It must not touch the file of the other process: a seal would say that nobody writes to it.
    await first.close()
    expect(existsSync(`${file}.seal`)).to.equal(false)
    await second.close()
    expect(existsSync(`${file}.seal`)).to.equal(true)
  })

  it('guards a read model under another name as well', async () => {
    const file = join(folder, 'model.db')
    const first = await openSqliteReadModel(file)
    await first.open([people])
    linkSync(file, other('model.db'))
    expect(await rejection(openSqliteReadModel(other('model.db')))).to.be.instanceOf(StoreInUseError)
    await first.close()
    await (await openSqliteReadModel(other('model.db'))).close()
  })

  it('starts beside somebody who reads', async () => {
    const first = await open()
    await append(first, 'a')
    const reader = await openSqliteEventStore(path, { readOnly: true })
    await first.close()
    const second = await open()
    linkSync(path, other())
    const child = await startChild(other())
    expect(child.said).to.match(/^StoreInUseError/)
    await child.kill()
    await append(second, 'b')
    expect(await reader.readStream('b')).to.have.length(1)
    await reader.close()
  })
})
