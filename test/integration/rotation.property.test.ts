import { expect } from 'chai'
import fc from 'fast-check'
import { TokenLedgerError, type TokenLedger } from '../../src/index.ts'
import { type Api, bearer, callerOf, TOKENS } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'
import { sweep } from '../support/suite/sweep.ts'

/**
 * Random commands and uses against a plain model of which secret is accepted when. The model shares no code with the
 * product: it knows the contract alone.
 */

const ACCOUNT = 'acct_1'
const BY = { actor: 'the test' }
const START = Date.parse('2026-11-02T22:30:00.000Z')

type Step =
  | { does: 'rotate'; activate: 'now' | 'on_first_use'; graceSeconds: number }
  | { does: 'end'; status: 'pending' | 'grace' }
  | { does: 'use'; which: number }
  | { does: 'expire'; seconds: number | null }
  | { does: 'wait'; seconds: number }
  | { does: 'revoke' }

const seconds = fc.constantFrom(0, 1, 5, 60)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      does: fc.constant('rotate' as const),
      activate: fc.constantFrom('now' as const, 'on_first_use' as const),
      graceSeconds: seconds,
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      does: fc.constant('end' as const),
      status: fc.constantFrom('pending' as const, 'grace' as const),
    }),
  },
  // Mostly the newest ones, and any of all that there ever were.
  {
    weight: 30,
    arbitrary: fc.record({
      does: fc.constant('use' as const),
      which: fc.oneof(fc.constantFrom(0, 1), fc.nat(9)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant('expire' as const),
      seconds: fc.option(fc.integer({ min: 1, max: 90 })),
    }),
  },
  // Clocks are set back, too.
  {
    weight: 20,
    arbitrary: fc.record({ does: fc.constant('wait' as const), seconds: fc.constantFrom(1, 4, 30, 61, -2) }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('revoke' as const) }) },
)

/** What the contract says of one token. */
interface Model {
  older: string
  newer: { secret: string; graceSeconds: number; isUsed: boolean; retiresAt: number | null } | null
  expiresAt: number
  isRevoked: boolean
  /** The time of the newest event: times in a token's history never go back. */
  eventAt: number
}

const isGrace = ({ newer }: Model, now: number) => {
  const retiresAt = newer?.retiresAt ?? null
  return retiresAt !== null && now < retiresAt
}
const isPending = ({ newer }: Model) => newer !== null && newer.retiresAt === null

function accepts(model: Model, secret: string, now: number): boolean {
  if (model.isRevoked || now >= model.expiresAt) return false
  if (secret === model.newer?.secret) return true
  return secret === model.older && (model.newer === null || isPending(model) || isGrace(model, now))
}

/** @returns the code that it is refused with, or null and the model has changed */
function rotated(
  model: Model,
  made: () => string,
  { activate, graceSeconds }: Step & { does: 'rotate' },
  now: number,
) {
  if (model.isRevoked) return 'token_revoked'
  if (isGrace(model, now) && model.newer?.isUsed) return 'rotation_under_way'
  const at = Math.max(now, model.eventAt)
  const isOnly = activate === 'now' && graceSeconds === 0
  const kept = isGrace(model, now) && !isOnly ? (model.newer?.retiresAt ?? null) : null
  const hasEnded = model.newer !== null && !isPending(model) && !isGrace(model, now)
  if (hasEnded) model.older = model.newer?.secret ?? ''
  const secret = made()
  const isNow = activate === 'now' && kept === null
  if (isOnly) Object.assign(model, { older: secret, newer: null })
  else
    model.newer = {
      secret,
      graceSeconds,
      isUsed: false,
      retiresAt: kept ?? (isNow ? at + graceSeconds * 1000 : null),
    }
  model.eventAt = at
  return null
}

function ended(model: Model, status: 'pending' | 'grace', now: number) {
  if (model.isRevoked) return 'token_revoked'
  if (!(status === 'pending' ? isPending(model) : isGrace(model, now))) return 'no_such_rotation'
  if (status === 'grace') model.older = model.newer?.secret ?? ''
  model.newer = null
  model.eventAt = Math.max(now, model.eventAt)
  return null
}

/** @returns whether an activation is written in the background */
function used(model: Model, secret: string, now: number): boolean {
  const { newer } = model
  if (secret !== newer?.secret || newer.isUsed) return false
  const at = Math.max(now, model.eventAt)
  newer.isUsed = true
  newer.retiresAt ??= at + newer.graceSeconds * 1000
  model.eventAt = at
  return true
}

const runs = sweep('histories', 150, 15)

describe(`A token that is rotated in any way${runs.note}`, () => {
  let now = START
  let service: TestService
  let ledger: TokenLedger
  let owner: Api
  before(async () => {
    service = await startLedger({
      eventStoreUrl: 'sqlite::memory:',
      readModelUrl: 'sqlite::memory:',
      clock: () => now,
      maxTokensPerAccount: 100_000,
    })
    ledger = service.ledger
    owner = callerOf(service.url, bearer(jwtFor(ACCOUNT)))
  })
  after(() => service.close())

  async function codeOf(command: Promise<unknown>): Promise<string | null> {
    try {
      await command
      return null
    } catch (error) {
      if (!(error instanceof TokenLedgerError)) throw error
      return error.code
    }
  }

  async function play(steps: readonly Step[]): Promise<void> {
    now = START
    const made = await ledger.tokens.create(ACCOUNT, { name: 'one' }, BY)
    const secrets = [made.token]
    const { id } = made
    const model: Model = {
      older: made.token,
      newer: null,
      expiresAt: Number.POSITIVE_INFINITY,
      isRevoked: false,
      eventAt: now,
    }
    const isUsedInStore = async () => {
      const { data } = await ledger.tokens.history(ACCOUNT, id, { limit: 100 })
      return data.filter(({ type }) => type === 'TokenSecretActivated').length
    }
    let activations = 0

    for (const one of steps) {
      switch (one.does) {
        case 'rotate': {
          const { does: _, ...input } = one
          let secret = ''
          const command = ledger.tokens
            .rotate(ACCOUNT, id, input, BY)
            .then((token) => void (secret = token.token))
          const code = await codeOf(command)
          expect(code, 'rotate').to.equal(rotated(model, () => secret, one, now))
          if (code === null) secrets.push(secret)
          break
        }
        case 'end': {
          const expected = ended(model, one.status, now)
          const { body } = await owner.delete(`${TOKENS}/${id}/rotations?status=${one.status}`)
          expect(body?.code ?? null, 'end').to.equal(expected)
          break
        }
        case 'expire':
          if (model.isRevoked) break
          model.expiresAt = one.seconds === null ? Number.POSITIVE_INFINITY : now + one.seconds * 1000
          await ledger.tokens.update(
            ACCOUNT,
            id,
            { expiresAt: one.seconds === null ? null : new Date(model.expiresAt).toISOString() },
            BY,
          )
          model.eventAt = Math.max(now, model.eventAt)
          break
        case 'revoke':
          model.isRevoked = true
          await ledger.tokens.revoke(ACCOUNT, id, BY)
          break
        case 'wait':
          now += one.seconds * 1000
          break
        case 'use': {
          const secret = secrets.at(-1 - (one.which % secrets.length)) ?? ''
          const isGood = accepts(model, secret, now)
          expect((await ledger.verify(secret)) !== null, `use of secret ${secrets.indexOf(secret)}`).to.equal(
            isGood,
          )
          if (!isGood || !used(model, secret, now)) break
          activations++
          await eventually(async () => expect(await isUsedInStore()).to.equal(activations))
        }
      }
      for (const [i, secret] of secrets.entries()) {
        // A look without a use: a use of the newer secret would activate it.
        if (secret === model.newer?.secret && !model.newer.isUsed) continue
        expect((await ledger.verify(secret)) !== null, `secret ${i} after ${one.does}`).to.equal(
          accepts(model, secret, now),
        )
      }
      const { rotation } = await ledger.tokens.get(ACCOUNT, id)
      const status = model.isRevoked
        ? null
        : isPending(model)
          ? 'pending'
          : isGrace(model, now)
            ? 'grace'
            : null
      expect(rotation?.status ?? null).to.equal(status)
      if (status === 'grace')
        expect(rotation?.retiresAt).to.equal(new Date(model.newer?.retiresAt ?? 0).toISOString())
    }
  }

  it('accepts each of its secrets exactly as long as promised', () =>
    fc.assert(fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25, size: 'max' }), play), {
      numRuns: runs.amount,
    }))
})
