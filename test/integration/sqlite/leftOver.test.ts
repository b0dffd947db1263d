import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { generationsOf } from '../../../src/adapters/sqlite/documents/generations.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import { created } from '../../support/events/audited.ts'
import { latest, people } from '../../contract/readModel.fixtures.ts'

/** All subsets, the empty one first. */
const subsetsOf = (names: readonly string[]): string[][] =>
  names.reduce<string[][]>((sets, name) => [...sets, ...sets.map((set) => [...set, name])], [[]])

/** Opens a store and closes it again. @returns what that ended with; an error must be one that says what to do */
async function outcome(
  open: () => Promise<{ close(): Promise<void> }>,
  what: string,
): Promise<'open' | 'refused'> {
  try {
    await (await open()).close()
    return 'open'
  } catch (error) {
    const isKnown = error instanceof StoreUnavailableError || error instanceof DamagedError
    expect(isKnown, `${what}: ${String(error)}`).to.equal(true)
    expect(String(error), what).not.to.contain('ENOENT')
    return 'refused'
  }
}

describe('Files that are left of a SQLite store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  const kept = join(folder, 'kept')
  after(() => rmSync(folder, { recursive: true }))

  /** Puts some of the files that were kept into a new folder. @returns the path of the store in it */
  let places = 0
  function place(name: string, endings: readonly string[]): string {
    const made = join(folder, String(++places))
    mkdirSync(made)
    for (const ending of endings) copyFileSync(join(kept, name + ending), join(made, name + ending))
    return join(made, name)
  }

  /** Keeps the files of a store that is open, as a crash leaves them. */
  function keepCrashed(path: string, name: string): void {
    for (const ending of ['-wal', '-shm']) copyFileSync(path + ending, join(kept, name + ending))
  }

  before(async () => {
    mkdirSync(kept)
    for (const name of ['model.db', 'model.db.g2']) {
      const model = await openSqliteReadModel(join(folder, name))
      await model.open([people])
      await model.apply([latest('a', '1')])
      keepCrashed(join(folder, name), name)
      await model.close()
      for (const ending of ['', '.seal']) copyFileSync(join(folder, name + ending), join(kept, name + ending))
    }
    generationsOf(join(kept, 'model.db')).pointLive(2)
    generationsOf(join(kept, 'model.db')).pointOffer(2)
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    await store.append('apiToken-1', 'no_stream', [created('1')])
    copyFileSync(join(folder, 'events.db'), join(kept, 'events.db'))
    keepCrashed(join(folder, 'events.db'), 'events.db')
    await store.close()
  })

  it('begin a new read model where its file is gone, whatever else is left', async () => {
    for (const endings of subsetsOf(['-wal', '.seal', '.live', '.g2.seal'])) {
      const path = place('model.db', endings)
      const model = await openSqliteReadModel(path)
      await model.open([people])
      expect(await model.get('seen', 'a'), endings.join(' ')).to.equal(null)
      await model.apply([latest('b', '2')])
      await model.close()
      const again = await openSqliteReadModel(path)
      await again.open([people])
      expect(await again.get('seen', 'b'), endings.join(' ')).to.deep.equal({ id: 'b', at: '2' })
      await again.close()
    }
  })

  it('never end a start, or a command that reads, with an error that does not say what to do', async () => {
    const endings = ['', '-wal', '.seal', '.live', '.offer', '.g2', '.g2.seal']
    for (const left of subsetsOf(endings)) {
      const path = place('model.db', left)
      const what = left.join(' ')
      const isThere = existsSync(generationsOf(path).liveFile())
      const read = await outcome(() => openSqliteReadModel(path, { readOnly: true }), `reads ${what}`)
      if (!isThere) expect(read, what).to.equal('refused')
      await outcome(() => openSqliteReadModel(path), `writes ${what}`)
    }
    for (const left of subsetsOf(['', '-wal', '-shm'])) {
      const path = place('events.db', left)
      await outcome(() => openSqliteEventStore(path, { readOnly: true }), `reads ${left.join(' ')}`)
      const written = await outcome(() => openSqliteEventStore(path), `writes ${left.join(' ')}`)
      // A log without its main file is refused as long as its newest events may still be put back.
      const isTorn = !left.includes('') && left.includes('-wal')
      expect(written, left.join(' ')).to.equal(isTorn ? 'refused' : 'open')
    }
  })
})
