import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'chai'
import { BadRowsError, checkRows } from '../../../../src/application/tokenImport/checkRows.ts'
import { readRow } from '../../../../src/application/tokenImport/row.ts'
import { compareRows, importRows } from '../../../../src/application/tokenImport/importTokens.ts'
import { loadOn, readTokenEvents, unborn } from '../../../../src/application/eventLog/tokenStream.ts'
import {
  ConflictError,
  StoreMisconfiguredError,
  UnknownOutcomeError,
} from '../../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { BadFileError } from '../../../../src/application/transfer/file.ts'
import { checkFile } from '../../../../src/application/transfer/check.ts'
import { link } from '../../../../src/domain/chain.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { tokenIdOf, tokenStream } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { faultyStore } from '../../../support/stores/faults.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { createWriter, fill, movableEvent } from '../../../support/events/movable.ts'
import {
  fileOfRows,
  NOW,
  oldRow,
  oldToken,
  RULES,
  sha256,
  takeOver,
  UUID_OF_ROW,
} from '../../../support/events/oldTable.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'

const ROWS = 250
const rows = Array.from({ length: ROWS }, (_, i) => oldRow(i + 1))
const file = fileOfRows(rows)

const problemsOf = async (attempt: Promise<unknown>): Promise<BadRowsError['problems']> => {
  const error = await rejection(attempt)
  if (!(error instanceof BadRowsError)) throw error
  return error.problems
}

describe('An import of an old table', () => {
  it('makes each row the first event of a token’s stream, linked as any event', async () => {
    const memory = memoryStore()
    const row = oldRow(1, { id: UUID_OF_ROW, last_accessed: '2025-01-02T03:04:05Z' })
    expect(await takeOver(memory.store, fileOfRows([row]))).to.deep.equal({ written: 1, there: 0 })
    expect(memory.appends).to.deep.equal([[tokenStream(UUID_OF_ROW), 'no_stream', 1]])
    const { state } = await loadOn(memory.store, UUID_OF_ROW, unborn(UUID_OF_ROW))
    const [event] = await readTokenEvents(memory.store, UUID_OF_ROW)
    expect(state).to.deep.include({
      status: 'active',
      createdAt: '2024-05-01T10:00:00.000Z',
      updatedAt: '2024-06-01T08:00:00.500Z',
      secret: { revision: 0, hash: sha256(oldToken(1)), hashKeyId: 'sha256', hint: '…' },
      revision: 0,
    })
    expect(event?.stored.metadata).to.deep.include({
      at: NOW,
      actor: { kind: 'system', id: 'import-tokens' },
      ip: null,
      userAgent: null,
    })
    await checkFile(chunked(await fileOf(memory.store)))
  })

  it('changes nothing the second time, whatever has become of the tokens since', async () => {
    const memory = memoryStore()
    await takeOver(memory.store, file)
    const { stream } = memory.log[0] as StoredEvent
    const id = tokenIdOf(stream)
    const { chain } = await loadOn(memory.store, id, unborn(id))
    await memory.store.append(stream, 0, link(chain, [movableEvent('TokenRevoked', { reason: null })]))
    const before = structuredClone(memory.log)
    const later = '2026-11-21T00:00:00.000Z'
    expect(await takeOver(memory.store, file, later)).to.deep.equal({ written: 0, there: ROWS })
    expect(memory.log).to.deep.equal(before)
  })

  it('is refused where a token begins with what it does not understand: that may be one of the rows', async () => {
    const memory = memoryStore()
    const write = createWriter(memory.store)
    const first = tokenStream('0195506f-6c00-7a31-9c4e-5d2f8b1a7e03')
    await write(first, [movableEvent('TokenMoved')])
    expect(await rejection(takeOver(memory.store, file))).to.be.instanceOf(DamagedError)
    expect(memory.log).to.have.length(1)
  })

  it('goes on where it was ended, and in the end has every row once', async () => {
    const memory = memoryStore()
    const store: EventStore = {
      ...memory.store,
      async append(...args) {
        if (memory.log.length >= 130) throw new Error('ended')
        return memory.store.append(...args)
      },
    }
    await rejection(takeOver(store, file))
    expect(memory.log).to.have.lengthOf(130)
    expect(await takeOver(memory.store, file)).to.deep.equal({ written: ROWS - 130, there: 130 })
    expect(new Set(memory.log.map(({ stream }) => stream)).size).to.equal(ROWS)
    expect(memory.log).to.have.lengthOf(ROWS)
  })

  it('writes each row once where the outcome of an append is not known', async () => {
    const memory = memoryStore()
    const faulty = faultyStore(memory.store)
    faulty.next = ['landed', 'lost', 'ok', 'landed']
    expect(await takeOver(faulty.store, file)).to.deep.equal({ written: ROWS, there: 0 })
    expect(memory.log).to.have.lengthOf(ROWS)
  })

  it('leaves everything else in the store alone', async () => {
    const memory = memoryStore()
    await fill(memory.store, 3)
    memory.addForeign()
    const before = structuredClone(memory.log)
    await takeOver(memory.store, file)
    expect(memory.log.slice(0, before.length)).to.deep.equal(before)
    expect(memory.log).to.have.lengthOf(before.length + ROWS)
  })

  describe('takes nothing of a file', () => {
    async function refused(bad: string, store = memoryStore()): Promise<BadRowsError['problems']> {
      const before = structuredClone(store.log)
      const problems = await problemsOf(takeOver(store.store, bad))
      expect(store.log).to.deep.equal(before)
      return problems
    }

    it('with a bad row, and names every one by its line', async () => {
      const bad = fileOfRows([oldRow(1), oldRow(2, { token: 'x' }), oldRow(3), oldRow(4, { name: '' })])
      expect((await refused(bad)).map(({ line }) => line)).to.deep.equal([2, 4])
      expect((await refused(`${file}\n\n{}`))[0]).to.deep.include({ line: ROWS + 3 })
    })

    it('with many bad rows, and says how many it does not name', async () => {
      const error = await rejection(takeOver(memoryStore().store, '{}\n'.repeat(50)))
      expect(error).to.be.instanceOf(BadRowsError).and.include({ more: 30 })
      expect((error as BadRowsError).problems.map(({ line }) => line)).to.deep.equal(
        Array.from({ length: 20 }, (_, i) => i + 1),
      )
      expect((error as Error).message)
        .to.contain('Line 1: ')
        .and.contain('And 30 more.\nNothing was imported.')
    })

    it('with one id, or one token, in two lines, and names both', async () => {
      const twice = [oldRow(1), { bad: 1 }, oldRow(1), oldRow(4, { token: oldRow(1).token })]
      expect(await refused(fileOfRows([...twice, oldRow(5, { id: UUID_OF_ROW })]))).to.deep.include.members([
        { line: 3, message: 'its id is that of line 1' },
        { line: 3, message: 'its token is that of line 1' },
        { line: 4, message: 'its token is that of line 1' },
      ])
      const cases = [oldRow(1, { id: UUID_OF_ROW }), oldRow(2, { id: UUID_OF_ROW.toUpperCase() })]
      expect((await refused(fileOfRows(cases)))[0]?.message).to.equal('its id is that of line 1')
    })

    it('with a row that was imported with other data', async () => {
      for (const change of [
        { name: 'another' },
        { token: sha256('another') },
        { expires_at: '2030-01-01T00:00:00Z' },
        { last_accessed: '2025-01-01T00:00:00Z' },
      ]) {
        const memory = memoryStore()
        await takeOver(memory.store, file)
        const [problem, ...others] = await refused(fileOfRows([oldRow(999), oldRow(1, change)]), memory)
        expect(others).to.deep.equal([])
        expect(problem?.line).to.equal(2)
        expect(problem?.message).to.match(/^the store has token [0-9a-f-]{36} with other data$/)
      }
    })

    it('with an id that a token of the service has', async () => {
      const memory = memoryStore()
      await createWriter(memory.store)(tokenStream(UUID_OF_ROW), [movableEvent('TokenCreated', {})])
      const [problem] = await refused(fileOfRows([oldRow(1, { id: UUID_OF_ROW })]), memory)
      expect(problem).to.deep.equal({
        line: 1,
        message: `the store has token ${UUID_OF_ROW} with other data`,
      })
    })

    it('with a token that another one in the store is known by: the read model has room for one', async () => {
      const memory = memoryStore()
      const hash = sha256('own')
      await createWriter(memory.store)(tokenStream(UUID_OF_ROW), [movableEvent('TokenCreated', { hash })])
      await takeOver(memory.store, file)
      const bad = fileOfRows([oldRow(1000, { token: hash }), oldRow(1001, { token: oldRow(7).token })])
      const problems = await refused(bad, memory)
      expect(problems.map(({ line }) => line)).to.deep.equal([1, 2])
      expect(problems[0]?.message).to.equal(`its token is that of ${UUID_OF_ROW} in the store`)
    })

    it('that ends in the middle of a row', async () => {
      expect(await refused(file.slice(0, -10))).to.deep.equal([{ line: ROWS, message: readRow('', RULES) }])
    })

    it('into a store that is damaged', async () => {
      const memory = memoryStore()
      await takeOver(memory.store, fileOfRows([oldRow(1)]))
      for (const damage of [{ data: { hash: 'a'.repeat(64) } }, { metadata: null }]) {
        const store = memoryStore()
        store.log.push({ ...(memory.log[0] as StoredEvent), ...damage })
        expect(await rejection(takeOver(store.store, file))).to.be.instanceOf(DamagedError)
        expect(store.log).to.have.lengthOf(1)
      }
    })
  })

  describe('of a file as editors and databases write it', () => {
    for (const [what, text] of [
      ['without an end of its last line', file.slice(0, -1)],
      ['with blank lines', `\n\n  \n${file.replaceAll('\n', '\n\t\n')}\n\n `],
      ['with the line ends of Windows', file.replaceAll('\n', '\r\n')],
      ['with all of them', file.replaceAll('\n', '\r\n\r\n').trimEnd()],
    ] as const) {
      it(`takes all of its rows, and none of them twice: ${what}`, async () => {
        const memory = memoryStore()
        expect(await takeOver(memory.store, text)).to.deep.equal({ written: ROWS, there: 0 })
        expect(await takeOver(memory.store, file)).to.deep.equal({ written: 0, there: ROWS })
        expect(await takeOver(memory.store, text)).to.deep.equal({ written: 0, there: ROWS })
        expect((await checkRows(chunked(text), RULES, () => {})).count).to.equal(ROWS)
      })
    }

    for (const [where, text] of [
      [1, `\uFEFF${file}`],
      [1, `\uFEFF\n${file}`],
      [ROWS + 1, `${file}\uFEFF${file}`],
    ] as const) {
      it(`names a byte order mark, which nobody sees, in line ${where}`, async () => {
        const { store, log } = memoryStore()
        const problems = await problemsOf(takeOver(store, text))
        expect(problems[0])
          .to.include({ line: where })
          .and.property('message')
          .to.match(/byte order mark/)
        expect(log).to.deep.equal([])
      })
    }

    it('names rows by the lines of the file', async () => {
      const text = `\n\n${JSON.stringify(oldRow(1))}\n\n${JSON.stringify(oldRow(1))}`
      const problems = await problemsOf(takeOver(memoryStore().store, text))
      expect(problems[0]).to.deep.equal({ line: 5, message: 'its id is that of line 3' })
    })
  })

  describe('of a file that changes under it', () => {
    async function importing(second: string): Promise<{ error: unknown; written: number }> {
      const { store, log } = memoryStore()
      const checked = await checkRows(chunked(file), RULES, () => {})
      const there = await compareRows(checked, store, () => {})
      const error = await rejection(
        importRows(chunked(second), checked, there, { store, clock: () => 0 }, () => {}),
      )
      return { error, written: log.length }
    }

    for (const [what, line, second] of [
      ['a row is altered', 3, fileOfRows(rows.with(2, oldRow(3, { name: 'altered' })))],
      ['a row is gone', ROWS, fileOfRows(rows.slice(0, -1))],
      ['a row has come', ROWS + 1, fileOfRows([...rows, oldRow(ROWS + 1)])],
      ['a row has come behind a blank line', ROWS + 2, `${file}\n${JSON.stringify(oldRow(ROWS + 1))}`],
      ['a row is none any more', 2, fileOfRows(rows.with(1, {}))],
    ] as const) {
      it(`stops at the line: ${what}`, async () => {
        const { error } = await importing(second)
        expect(error).to.be.instanceOf(BadFileError)
        expect((error as Error).message).to.equal(`Line ${line}: it has changed since the file was checked.`)
      })
    }
  })

  it('fails with what an append failed with, however slowly the file comes', async () => {
    const { store } = memoryStore()
    const refusing: EventStore = {
      ...store,
      append: async () => {
        throw new StoreMisconfiguredError('refused')
      },
    }
    async function* slowly() {
      for await (const chunk of chunked(file)) {
        await nextTurn()
        yield chunk
      }
    }
    const unhandled: unknown[] = []
    const note = (error: unknown) => void unhandled.push(error)
    process.prependListener('unhandledRejection', note)
    try {
      const checked = await checkRows(chunked(file), RULES, () => {})
      const there = new Uint8Array(checked.count)
      const stores = { store: refusing, clock: () => 0 }
      const error = await rejection(importRows(slowly(), checked, there, stores, () => {}))
      expect(error).to.be.instanceOf(StoreMisconfiguredError)
      await nextTurn()
      expect(unhandled).to.deep.equal([])
    } finally {
      process.off('unhandledRejection', note)
    }
  })

  it('sends no row again once the lease is lost', async () => {
    const { store } = memoryStore()
    let sent = 0
    const silent: EventStore = {
      ...store,
      append: async () => {
        sent++
        throw new UnknownOutcomeError('no answer')
      },
    }
    const lost = new Error('the lease is lost')
    let isLost = false
    const lease = {
      async hold() {
        if (isLost) throw lost
        isLost = true
      },
      advance() {},
    }
    const checked = await checkRows(chunked(file), RULES, () => {})
    const there = new Uint8Array(checked.lines)
    const stores = { store: silent, clock: () => 0, lease }
    expect(await rejection(importRows(chunked(file), checked, there, stores, () => {}))).to.equal(lost)
    expect(sent, 'each row of the first batch once').to.equal(Math.min(checked.count, 50))
  })

  it('says so where another writer makes a token with its id meanwhile', async () => {
    const { store } = memoryStore()
    const racing: EventStore = {
      ...store,
      append: async (stream) => {
        throw new ConflictError(stream, 0)
      },
    }
    const error = await rejection(takeOver(racing, file))
    expect((error as Error).message).to.match(/^Line \d+: the store has got a token with its id meanwhile/)
  })
})
