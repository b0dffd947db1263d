import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../../../projections/index.ts'
import { openDatabase } from '../../../../src/adapters/sqlite/database/database.ts'
import { checkToken } from '../../../../src/application/verification/checkToken.ts'
import { startSampler } from '../../../../src/application/verification/sampler.ts'
import type { DocumentChange } from '../../../../projections/projection.ts'
import { assemblePieces, context, type Pieces, target } from '../../../support/stores/pieces.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { appendTo, growHistory } from '../../../support/events/longLife.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'

describe('the sampler', () => {
  let folder: string
  let pieces: Pieces
  let stop: () => Promise<void>
  const seen = { checked: 0, differed: 0, errors: [] as object[], warnings: 0 }

  function start(random = () => 0.5, againMs?: number): void {
    Object.assign(seen, { checked: 0, differed: 0, errors: [], warnings: 0 })
    const sampler = startSampler({
      store: pieces.events.store,
      readModel: pieces.model.readModel,
      projections,
      telemetry: {
        log: { error: (fields) => void seen.errors.push(fields), warn: () => void seen.warnings++ },
        checked: (documents) => void (seen.checked += documents),
        differed: (documents) => void (seen.differed += documents),
      },
      everyMs: 5,
      ...(againMs !== undefined && { againMs }),
      random,
    })
    stop = sampler.stop
  }

  const wrong = (id: string, fields: Record<string, string>): DocumentChange => ({
    kind: 'put',
    collection: 'tokens',
    id,
    revision: 99,
    fields,
  })

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    pieces = await assemblePieces(folder)
    stop = async () => {}
  })

  afterEach(async () => {
    await stop()
    await pieces.close()
    rmSync(folder, { recursive: true })
  })

  it('finds nothing wrong with documents that are what the events say, used and changed meanwhile', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, (_, i) => pieces.create(`token ${i}`)))
    start()
    for (let n = 0; n < 20; n++) {
      for (const { id, secret } of made) {
        await pieces.use(secret)
        await pieces.manage.update(context(), target(id), { name: `changed ${n}` })
      }
    }
    await eventually(() => expect(seen.checked).to.be.above(30))
    expect([seen.differed, seen.errors, seen.warnings]).to.deep.equal([0, [], 0])
  })

  it('finds nothing wrong with a token that is changed between its events and its documents, at each look', async () => {
    const { id } = await pieces.create('restless')
    const { readModel } = pieces.model
    let n = 0
    const restless = {
      ...readModel,
      async get(collection: string, document: string) {
        if (collection === 'tokens')
          await pieces.manage.update(context(), target(id), { name: `changed ${n++}` })
        return readModel.get(collection, document)
      },
    }
    const deps = { store: pieces.events.store, readModel: restless, projections }
    const { documents, differences } = await checkToken(deps, id, new AbortController().signal, 0)
    expect([documents > 0, differences]).to.deep.equal([true, []])
    expect(n).to.be.above(4)
  })

  it('comes to every token in turn, wherever it begins', async () => {
    const made = await Promise.all(Array.from({ length: 4 }, (_, i) => pieces.create(`token ${i}`)))
    for (const { id } of made) await pieces.model.readModel.apply([wrong(id, { name: 'Mallory' })])
    start(() => 0.99)
    await eventually(() => expect(seen.errors).to.have.length.above(0))
    // It looks again before it reports a difference, once a second.
    await eventually(() =>
      expect(new Set(seen.errors.map((one) => (one as { id: string }).id)).size).to.be.above(1),
    )
  })

  it('comes to tokens that the log does not tell of, whatever the ids beside them are', async () => {
    await pieces.create('one')
    const tooMany = '01890000-0000-7000-8000-000000000000'
    for (const id of ['!', 'zzzz', 'abc', 'ffffffff-', tooMany])
      await pieces.model.readModel.apply([wrong(id, { hash: `hash of ${id}` })])
    for (const place of [0, 0.5, 0.999]) {
      start(() => place, 5)
      await eventually(() =>
        expect(seen.errors.map((one) => (one as { id?: string }).id)).to.include(tooMany),
      )
      await stop()
    }
  }).timeout(60_000)

  it('reports a document that differs, by its id alone', async () => {
    const { id } = await pieces.create('one')
    await pieces.model.readModel.apply([wrong(id, { name: 'Mallory', nameFolded: 'mallory' })])
    start()
    await eventually(() => expect(seen.errors).to.have.length(1))
    expect(seen.errors).to.deep.equal([{ collection: 'tokens', id }])
    expect(seen.differed).to.equal(1)
  })

  it('finds nothing wrong with a long life, nor with an event that only informs', async () => {
    const { id } = await pieces.create('one')
    const { store } = pieces.events
    await growHistory(store, id, 300)
    await appendTo(store, id, 'TokenRemarked', { informational: true })
    await eventually(async () => {
      expect((await pieces.model.readModel.get('tokens', id))?.revision).to.equal(300)
    })
    start()
    await eventually(() => expect(seen.checked).to.be.above(301))
    expect([seen.differed, seen.errors, seen.warnings]).to.deep.equal([0, [], 0])
  })

  it('reports a history that was damaged after it was applied, and none of a token closed for it', async () => {
    const [{ id }, { id: closed }] = [await pieces.create('one'), await pieces.create('two')]
    const log = await openDatabase(join(folder, 'events.db'), { synchronous: 'FULL' })
    log
      .prepare(`UPDATE events SET crc = crc + 1 WHERE stream IN (?, ?)`)
      .run(tokenStream(id), tokenStream(closed))
    log.close()
    await pieces.projector.close(closed, 'damaged')
    start()
    await eventually(() => expect(seen.errors).to.have.length.above(1))
    const named = seen.errors.map((one) => (one as { tokenId: string }).tokenId)
    expect(new Set(named)).to.deep.equal(new Set([id]))
    expect(seen.differed).to.be.above(1)
  })

  it('waits while a store is down, and with no tokens', async () => {
    start()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(seen.checked).to.equal(0)
    await pieces.create('one')
    pieces.model.down = true
    pieces.events.down = true
    await new Promise((resolve) => setTimeout(resolve, 50))
    pieces.model.down = false
    pieces.events.down = false
    await eventually(() => expect(seen.checked).to.be.above(0))
    expect([seen.differed, seen.errors, seen.warnings]).to.deep.equal([0, [], 0])
  })
})
