import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import type { TokenDocument } from '../../../../projections/tokens.ts'
import { loadOn, readTokenEvents, unborn } from '../../../../src/application/eventLog/tokenStream.ts'
import type { Target } from '../../../../src/application/tokens/manage.ts'
import { ConflictError } from '../../../../src/application/ports/errors.ts'
import { link } from '../../../../src/domain/chain.ts'
import { Refusal } from '../../../../src/domain/errors.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { growHistory, lifeEvent } from '../../../support/events/longLife.ts'
import { assemblePieces, context, countReads, type Pieces, target } from '../../../support/stores/pieces.ts'

describe('a command', () => {
  let folder: string
  let pieces: Pieces
  let read: ReturnType<typeof countReads>

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    pieces = await assemblePieces(folder)
    read = countReads(pieces)
  })

  afterEach(async () => {
    await pieces.close()
    rmSync(folder, { recursive: true })
  })

  const seen = async (id: string): Promise<TokenDocument> =>
    (await pieces.model.readModel.get('tokens', id)) as TokenDocument
  const shown = (token: TokenDocument): Target => ({ tokenId: token.id, seen: token, ifMatch: () => true })
  const update = (token: TokenDocument, name: string) =>
    pieces.manage.update(context(), shown(token), { name })
  const chainOf = async (id: string): Promise<string> =>
    (await loadOn(pieces.events.store, id, unborn(id))).chain
  const renaming = (name: string) => lifeEvent('TokenUpdated', { name }, undefined)
  const projectedUpTo = async (id: string, revision: number): Promise<void> => {
    await eventually(async () => expect((await seen(id)).revision).to.be.at.least(revision))
  }

  it('reads what its own event needs, however long the stream is', async () => {
    const costs: number[] = []
    const { id } = await pieces.create('grows')
    for (const events of [2, 40, 2_000]) {
      await growHistory(pieces.events.store, id, events)
      await projectedUpTo(id, events - 1)
      const token = await seen(id)
      read.events = 0
      expect(await update(token, `changed at ${events}`)).to.include({ revision: events })
      costs.push(read.events)
    }
    expect(costs[0]).to.be.at.most(3)
    expect(costs).to.deep.equal([costs[0], costs[0], costs[0]])
  })

  it('reads nothing for a token that it makes', async () => {
    await pieces.create('new')
    expect(read.events).to.equal(0)
  })

  it('goes on from a document that is behind, and from none', async () => {
    const { id } = await pieces.create('first')
    const old = await seen(id)
    await update(old, 'second')
    await update(old, 'third')
    expect(await pieces.manage.update(context(), target(id), { scopes: ['a'] })).to.include({
      name: 'third',
      revision: 3,
    })
    expect(await pieces.manage.revoke(context(), shown(old), null)).to.equal(true)
    expect(await seen(id)).to.include({ name: 'third', revision: 4 })
    expect(await pieces.manage.revoke(context(), shown(old), null), 'again').to.equal(false)
    expect(await rejection(update(old, 'fourth'))).to.include({ code: 'token_revoked' })
  })

  it('projects what it finds that others have not projected yet', async () => {
    const { id } = await pieces.create('first')
    const old = await seen(id)
    await pieces.projector.stop()
    await growHistory(pieces.events.store, id, 250)
    expect(await seen(id)).to.include({ revision: 0 })
    expect(await update(old, 'name 249'), 'changes nothing').to.include({ revision: 249 })
    expect(await seen(id)).to.include({ revision: 249, name: 'name 249' })
    const page = await pieces.queries.history(id, { limit: 1_000 })
    expect(page.data.map(({ revision }) => revision)).to.deep.equal(Array.from({ length: 250 }, (_, i) => i))
  })

  for (const [what, forged] of [
    ['of another log', { chain: 'f'.repeat(64) }],
    ['ahead of the stream', { revision: 5 }],
  ] as const) {
    it(`is refused from a document ${what}, and nothing is written`, async () => {
      const { id } = await pieces.create('first')
      await update(await seen(id), 'second')
      const error = await rejection(update({ ...(await seen(id)), ...forged }, 'third'))
      expect(error).to.include({ code: 'token_damaged' })
      expect(await readTokenEvents(pieces.events.store, id)).to.have.length(2)
    })
  }

  it('is refused where the newest event is not what was written', async () => {
    const { id } = await pieces.create('first')
    await update(await seen(id), 'second')
    const { store } = pieces.events
    const { readStream } = store
    store.readStream = async (...args) =>
      (await readStream(...args)).map((event) =>
        event.revision === 1 ? { ...event, data: { name: 'Mallory' } } : event,
      )
    expect(await rejection(update(await seen(id), 'third'))).to.include({ code: 'token_damaged' })
    expect(pieces.telemetry.errors).to.include('the history of a token is damaged')
  })

  it('takes its own event for done where the store says afterwards that another one came first', async () => {
    const { id } = await pieces.create('first')
    const { store } = pieces.events
    const { append } = store
    store.append = async (stream, ...rest) => {
      await append(stream, ...rest)
      store.append = append
      throw new ConflictError(stream, 1)
    }
    expect(await update(await seen(id), 'second')).to.include({ name: 'second', revision: 1 })
    expect(await seen(id)).to.include({ name: 'second', revision: 1 })
    store.append = async (stream, ...rest) => {
      await append(stream, ...rest)
      store.append = append
      await append(stream, 2, link(await chainOf(id), [renaming('by somebody else')]))
      throw new ConflictError(stream, 3)
    }
    expect(await update(await seen(id), 'third')).to.include({ name: 'by somebody else', revision: 3 })
    expect(await readTokenEvents(store, id)).to.have.length(4)
  })

  it('is refused at 10,000 events, and a revocation never', async () => {
    const { id } = await pieces.create('long')
    await growHistory(pieces.events.store, id, 9_999)
    await projectedUpTo(id, 9_998)
    expect(await update(await seen(id), 'the last name')).to.include({ revision: 9_999 })
    expect(await rejection(update(await seen(id), 'one too many'))).to.include({ code: 'token_history_full' })
    expect(await update(await seen(id), 'the last name'), 'changes nothing').to.include({ revision: 9_999 })
    expect(await pieces.manage.revoke(context(), shown(await seen(id)), null)).to.equal(true)
    expect(await seen(id)).to.include({ revision: 10_000 })
  })

  it('repeated under its key costs as much whatever has become of the token', async () => {
    const create = () => pieces.manage.create(context(), 'acct_1', { name: 'once' }, 'key')
    const { token } = await create()
    const costs: number[] = []
    for (const events of [2, 1_000]) {
      await growHistory(pieces.events.store, token.tokenId, events)
      await projectedUpTo(token.tokenId, events - 1)
      read.events = 0
      const again = await create()
      expect([again.secret, again.token.revision]).to.deep.equal([null, events - 1])
      costs.push(read.events)
    }
    expect(costs[0]).to.be.at.most(4)
    expect(costs[1]).to.equal(costs[0])
    const other = pieces.manage.create(context(), 'acct_1', { name: 'another' }, 'key')
    expect(await rejection(other)).to.include({ code: 'idempotency_key_reused' })
  })

  it('gives what a fold of the whole stream gives, from documents of any age, on any process, all at once', async () => {
    const command = fc.record({
      kind: fc.constantFrom('update', 'update', 'update', 'revoke'),
      token: fc.nat(1),
      age: fc.nat(4),
      name: fc.constantFrom('a', 'b', 'c'),
      fault: fc.constantFrom('ok', 'ok', 'landed', 'lost', 'unavailable'),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(command, { minLength: 1, maxLength: 5 }), { maxLength: 5 }),
        async (rounds) => {
          const made = [await pieces.create('one'), await pieces.create('two')]
          const known = await Promise.all(made.map(async ({ id }) => [await seen(id)]))
          for (const round of rounds) {
            pieces.events.next = round.map(({ fault }) => fault as 'ok')
            await Promise.all(
              round.map(async ({ kind, token, age, name }) => {
                const documents = known[token] as TokenDocument[]
                const from = shown(documents.at(-1 - (age % documents.length)) as TokenDocument)
                const work =
                  kind === 'update'
                    ? pieces.manage.update(context(), from, { name })
                    : pieces.manage.revoke(context(), from, null)
                const done = await work.catch((error: unknown) => error)
                // A caller reads its own writes.
                if (!(done instanceof Error)) {
                  const after = await seen((documents[0] as TokenDocument).id)
                  if (typeof done === 'boolean') expect(after.revokedAt).to.be.a('string')
                  else expect(after.revision).to.be.at.least((done as { revision: number }).revision)
                }
              }),
            )
            pieces.events.next = []
            for (const [i, { id }] of made.entries()) {
              const { state } = await loadOn(pieces.events.store, id, unborn(id))
              // The same command again finds out what has happened, whatever it knows before.
              const now = await pieces.manage
                .update(context(), target(id), {})
                .catch((error: unknown) => error)
              if (now instanceof Refusal) expect(now.code).to.equal('token_revoked')
              else expect(now).to.deep.equal(state)
              const document = await seen(id)
              expect(document).to.include({
                revision: state.status === 'none' ? -1 : state.revision,
                name: state.status === 'none' ? '' : state.name,
                revokedAt: state.status === 'none' ? null : state.revokedAt,
              })
              known[i]?.push(document)
            }
          }
        },
      ),
      { numRuns: 25 },
    )
  })
})
