import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { TokenDocument } from '../../../../projections/tokens.ts'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import { readTokenEvents } from '../../../../src/application/eventLog/tokenStream.ts'
import { createTakeLeaks, type LeakReport, type TakeLeaks } from '../../../../src/application/tokens/leaks.ts'
import { assemblePieces, context, countReads, type Pieces } from '../../../support/stores/pieces.ts'

describe('Leaks of one token', () => {
  let folder: string
  let pieces: Pieces
  let takeLeaks: TakeLeaks
  let read: ReturnType<typeof countReads>

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    pieces = await assemblePieces(folder)
    const { events, model, manage, telemetry, projector } = pieces
    const { store } = events
    read = countReads(pieces)
    takeLeaks = createTakeLeaks({
      store,
      project: projector.apply,
      clock: Date.now,
      ids,
      telemetry,
      manage,
      action: 'revoke',
      identify: (secrets) =>
        Promise.all(
          secrets.map(async (id) => {
            const token = (await model.readModel.get('tokens', id)) as TokenDocument | null
            return token && { token, hint: token.hint, isDead: false }
          }),
        ),
    })
  })

  afterEach(async () => {
    await pieces.close()
    rmSync(folder, { recursive: true })
  })

  /** Reports of a token, whose id stands for its secret here, at places from one number on. */
  const reports = (id: string, from: number, amount: number): LeakReport[] =>
    Array.from({ length: amount }, (_, i) => ({
      secret: id,
      type: 't',
      url: `https://host.example/${from + i}`,
      source: 'commit',
    }))
  const placesOf = async (id: string): Promise<string[]> => {
    const events = await readTokenEvents(pieces.events.store, id)
    return events.flatMap(({ known }) => (known?.type === 'TokenLeaked' ? [known.data.url] : []))
  }

  it('are each an event, and cost what their own events cost, however many there are', async () => {
    const { id } = await pieces.create('leaked')
    for (const from of [0, 600]) {
      read.events = 0
      await takeLeaks(context(), reports(id, from, 600), 'github')
      expect(read.events).to.be.below(from + 2 * 600)
    }
    const places = await placesOf(id)
    expect([places.length, new Set(places).size]).to.deep.equal([1_200, 1_200])
    const [token] = (await pieces.model.readModel.find('tokens', {
      where: [],
      order: 'any',
      limit: 1,
    })) as unknown[] as TokenDocument[]
    expect(token).to.include({ id, revision: 1_201 })
  })

  it('are written once, whoever reports them at the same time, and whatever the store answers', async () => {
    const { id } = await pieces.create('leaked')
    pieces.events.next = ['landed', 'ok', 'landed', 'lost', 'ok', 'landed']
    await Promise.all([0, 100, 200, 0].map((from) => takeLeaks(context(), reports(id, from, 250), 'github')))
    const places = await placesOf(id)
    expect([places.length, new Set(places).size]).to.deep.equal([450, 450])
  })
})
