import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import { auditDecisions, type Finding } from '../../../../src/application/audit/decisions.ts'
import { assessUses, hintOfSecret, usesAround } from '../../../../src/application/audit/explain.ts'
import { createSecretLives } from '../../../../src/application/audit/secretLives.ts'
import { readSoundEvents } from '../../../../src/application/eventLog/soundEvents.ts'
import * as decide from '../../../../src/domain/decide.ts'
import { Refusal } from '../../../../src/domain/errors.ts'
import type { LifecycleEvent, NewEvent } from '../../../../src/domain/events.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import { evolve, initialState, type TokenState } from '../../../../src/domain/token.ts'
import type { UsageEntry } from '../../../../src/domain/usageEntries.ts'
import {
  activated,
  created,
  entry,
  refusedOnes,
  revoked,
  rotated,
  rotationEnded,
  time,
  USAGE,
  used,
  writerTo,
} from '../../../support/events/audited.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { movableEvent } from '../../../support/events/movable.ts'

const id = randomUUID()
const BOUND = 2000

async function logOf(life: readonly NewEvent[], ...uses: Partial<UsageEntry>[]) {
  const { store } = memoryStore()
  const write = writerTo(store)
  await write(tokenStream(id), [created(id), ...life])
  for (const what of uses) await write(USAGE, [used(id, { count: 5, ...what })])
  return store
}

async function audited(life: readonly NewEvent[], ...uses: Partial<UsageEntry>[]) {
  const found: Finding[] = []
  const store = await logOf(life, ...uses)
  const { withinBound } = await auditDecisions(store, {
    toleranceMs: 0,
    onFinding: (finding) => void found.push(finding),
    onDamage() {},
  })
  return { found, withinBound }
}

const kinds = (found: readonly Finding[]) => found.map(({ kind, what }) => `${kind}: ${what}`)
const certain = (what: string) => [`certain: accepted with a secret that ${what}`]
const LATE = ['possible: accepted with a secret that had retired or ended, after the bound']

describe('An audit of decisions about a token that was rotated', () => {
  it('finds nothing where both secrets are used while they are good', async () => {
    const life = [rotated(1, { at: time(1000) }), activated(1, 60, time(2000))]
    const { found, withinBound } = await audited(
      life,
      { secret: 0, tokenRevision: 0 },
      { secret: 0, tokenRevision: 1, firstAt: time(1500) },
      { secret: 1, tokenRevision: 1, firstAt: time(1500) },
      { secret: 1, tokenRevision: 2, firstAt: time(900_000) },
      { secret: 0, tokenRevision: 2, firstAt: time(2000), lastAt: time(62_000) },
    )
    expect([found, withinBound]).to.deep.equal([[], 0])
  })

  it('finds a secret that was used after its grace, beyond the bound', async () => {
    const life = [rotated(1, { at: time(1000) }), activated(1, 60, time(2000))]
    const late = { secret: 0, tokenRevision: 2, firstAt: time(62_000 + BOUND + 1) }
    const { found } = await audited(life, late)
    expect(kinds(found)).to.deep.equal(LATE)
    expect(found[0]).to.deep.include({
      secret: 0,
      secretUntil: time(62_000),
      revokedAt: null,
      lateMs: 1,
      uses: { atLeast: 5, atMost: 5 },
    })
    const within = await audited(life, { ...late, firstAt: time(62_000 + BOUND) })
    expect([within.found, within.withinBound]).to.deep.equal([[], 5])
  })

  const dead: [what: string, life: NewEvent[], use: Partial<UsageEntry>][] = [
    ['replaced while pending', [rotated(1), rotated(2)], { secret: 1, tokenRevision: 2 }],
    [
      'taken back',
      [rotated(1), rotationEnded('pending', { dead: 1, remaining: 0 })],
      { secret: 1, tokenRevision: 2 },
    ],
    [
      'ended in its grace',
      [rotated(1, { activate: 'now' }), rotationEnded('grace', { dead: 0, remaining: 1 })],
      { secret: 0, tokenRevision: 2 },
    ],
    [
      'replaced without a grace',
      [rotated(1, { activate: 'now', graceSeconds: 0 })],
      { secret: 0, tokenRevision: 1 },
    ],
    [
      'retired before the next rotation began',
      [rotated(1, { activate: 'now' }), rotated(2, { beside: 1, at: time(90_000) })],
      { secret: 0, tokenRevision: 2 },
    ],
  ]
  for (const [what, life, use] of dead) {
    it(`is certain of a use with a secret that was ${what}, on a revision that says so`, async () => {
      expect(kinds((await audited(life, use)).found)).to.deep.equal(certain('was dead on that revision'))
    })

    it(`takes a use with a secret that was ${what}, on the revision before, for one that others did not hear of yet`, async () => {
      const before = { ...use, tokenRevision: Number(use.tokenRevision) - 1 }
      const ended = what.startsWith('retired') ? 60_000 : 0
      expect((await audited(life, { ...before, firstAt: time(ended + BOUND) })).found).to.deep.equal([])
      const { found } = await audited(life, { ...before, firstAt: time(ended + BOUND + 1) })
      expect(kinds(found)).to.deep.equal(LATE)
    })
  }

  it('is certain of a use with a secret that there never was, or not yet', async () => {
    expect(kinds((await audited([], { secret: 3 })).found)).to.deep.equal(certain('the token never had'))
    const { found } = await audited([rotated(1)], { secret: 1, tokenRevision: 0 })
    expect(kinds(found)).to.deep.equal(certain('the token did not have on that revision'))
  })

  it('keeps the time at which the older one retires through another rotation', async () => {
    const life = [rotated(1, { activate: 'now' }), rotated(2, { graceSeconds: 900, retiresAt: time(60_000) })]
    const use = { secret: 0, tokenRevision: 2 }
    expect((await audited(life, { ...use, firstAt: time(60_000) })).found).to.deep.equal([])
    expect(kinds((await audited(life, { ...use, firstAt: time(70_000) })).found)).to.deep.equal(LATE)
  })

  it('names the revocation where that came before the secret retired', async () => {
    const life = [rotated(1, { activate: 'now' }), revoked(time(1000))]
    const { found } = await audited(life, { secret: 0, tokenRevision: 1, firstAt: time(61_000) })
    expect(found.map(({ revokedAt, secretUntil }) => [revokedAt, secretUntil])).to.deep.equal([
      [time(1000), null],
    ])
  })

  it('says nothing of secrets behind an event that it does not understand', async () => {
    const use = { secret: 2, tokenRevision: 2 }
    const { found } = await audited([rotated(1), movableEvent('TokenSplit')], use)
    expect(found).to.deep.equal([])
  })

  it('counts the refused uses of a retired secret by themselves', async () => {
    const store = await logOf([rotated(1, { activate: 'now', graceSeconds: 0 })])
    await writerTo(store)(USAGE, [refusedOnes(id, { count: 3, firstAt: time(500_000) })])
    const { findings, uses, retiredSecretUses, damages } = await auditDecisions(store, {
      toleranceMs: 0,
      onFinding() {},
      onDamage() {},
    })
    expect([findings, uses, retiredSecretUses, damages]).to.deep.equal([0, 0, 3, 0])
  })
})

// --- Any history of rotations, against the fold of a token --------------------------------------------------------

const step = fc.record({
  does: fc.constantFrom('rotate', 'rotate', 'activate', 'end'),
  activate: fc.constantFrom('on_first_use' as const, 'now' as const),
  graceSeconds: fc.constantFrom(0, 5, 60),
  pause: fc.nat(40_000),
})

/** The states of a token after each of its events. */
function livesOf(steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[]) {
  const events: LifecycleEvent[] = []
  const states: TokenState[] = []
  let state = initialState
  let now = 0
  const happen = (fact: object | null): void => {
    if (fact === null) return
    const metadata = { at: time(now), actor: { kind: 'jwt', id: 'acct_1' } }
    const event = { ...fact, metadata, stream: tokenStream(id), revision: events.length }
    events.push(event as unknown as LifecycleEvent)
    state = evolve(state, event as unknown as LifecycleEvent)
    states.push(state)
  }
  happen(created(id))
  for (const { does, pause, ...how } of steps) {
    now += pause
    const secret = { hash: `${events.length}`, hashKeyId: 'k1', hint: `${events.length}` }
    const by = { kind: 'jwt' as const, id: 'acct_1' }
    try {
      const newer = state.status === 'none' ? null : state.rotation
      if (does === 'rotate') happen(decide.rotate(state, { ...how, secret, by }, () => true, time(now)))
      else if (does === 'activate') happen(decide.activate(state, newer?.secret.revision ?? -1))
      else
        happen(
          decide.endRotation(state, newer?.activatedAt === null ? 'pending' : 'grace', () => true, {
            now: time(now),
            by: 'jwt',
          }),
        )
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
    }
  }
  return { events, states }
}

describe('The lives of secrets', () => {
  it('are those that the fold of the token gives, after any rotations', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { events, states } = livesOf(steps)
        const lives = createSecretLives()
        for (const event of events) lives.learn(event)
        for (const [tokenRevision, state] of states.entries()) {
          if (state.status === 'none') continue
          const { secret: older, rotation } = state
          const ends = new Map([[older.revision, rotation?.retiresAt ?? null]])
          if (rotation) ends.set(rotation.secret.revision, null)
          for (const { revision: secret } of events) {
            const at = ends.get(secret)
            const use = { tokenId: id, secret, tokenRevision, lastAt: at ?? time(0) }
            expect(lives.flawOf(use)?.kind === 'certain').to.equal(!ends.has(secret))
            if (typeof at !== 'string') continue
            const late = lives.flawOf({ ...use, lastAt: new Date(Date.parse(at) + 1).toISOString() })
            expect(late?.kind).to.equal('late')
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('What the history says of a use with one of several secrets', () => {
  const life = [rotated(1, { at: time(1000) }), activated(1, 60, time(2000))]

  async function verdict(what: Partial<UsageEntry>) {
    const sound = await readSoundEvents(await logOf(life), id)
    return assessUses(sound, { stream: USAGE, revision: 0, data: entry(id, what) })
  }

  it('is that it had retired', async () => {
    const firstAt = time(62_500)
    expect(await verdict({ secret: 0, tokenRevision: 2, firstAt })).to.deep.equal({
      kind: 'retired',
      retiredAt: time(62_000),
      ms: 500,
    })
    expect(await verdict({ secret: 1, tokenRevision: 2, firstAt })).to.deep.equal({ kind: 'current' })
  })

  it('is that it cannot be, with a secret that the token did not have then', async () => {
    const impossible = (why: string) => ({ kind: 'impossible', why })
    expect(await verdict({ secret: 1, tokenRevision: 0 })).to.deep.equal(impossible('no such secret'))
    expect(await verdict({ secret: 2, tokenRevision: 2 })).to.deep.equal(impossible('no such secret'))
  })

  it('knows the secrets by their hints', async () => {
    const sound = await readSoundEvents(await logOf(life), id)
    expect([0, 1, 2].map((secret) => hintOfSecret(sound, secret))).to.deep.equal([
      'tkl_…abcd',
      'tkl_…0001',
      null,
    ])
  })

  it('is shown beside the refused requests around that time', async () => {
    const store = await logOf(life)
    const during = { firstAt: time(100), lastAt: time(200) }
    await writerTo(store)(USAGE, [
      refusedOnes(id, { ...during, count: 2 }),
      refusedOnes(randomUUID(), during),
      refusedOnes(id, { firstAt: time(300) }),
    ])
    const { retired } = await usesAround(store, id, time(150))
    expect(retired.map(({ count, secret }) => [count, secret])).to.deep.equal([[2, 0]])
  })
})
