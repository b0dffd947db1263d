import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { Damage } from '../../../../src/application/audit/verifyLog.ts'
import { auditDecisions, type Finding } from '../../../../src/application/audit/decisions.ts'
import { tokenStream } from '../../../../src/domain/streams.ts'
import type { UsageEntry } from '../../../../src/domain/usageEntries.ts'
import {
  created,
  entry,
  renamed,
  revoked,
  time,
  USAGE,
  used,
  usedBefore,
  usedTogether,
  writerTo,
} from '../../../support/events/audited.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'
import { movableEvent } from '../../../support/events/movable.ts'

const REVOKED_AT = 60_000
const BOUND = 2000

describe('An audit of decisions', () => {
  const id = randomUUID()
  const stream = tokenStream(id)
  let memory: MemoryStore
  let write: ReturnType<typeof writerTo>

  beforeEach(async () => {
    memory = memoryStore()
    write = writerTo(memory.store)
    await write(stream, [created(id), renamed('b', time(1000))])
  })

  const revoke = () => write(stream, [revoked(time(REVOKED_AT))])

  /** A window that begins and ends so many milliseconds after the revocation. */
  const use = (tokenRevision: number, from: number, to = from, more: Partial<UsageEntry> = {}) =>
    write(USAGE, [
      used(id, {
        tokenRevision,
        count: 5,
        firstAt: time(REVOKED_AT + from),
        lastAt: time(REVOKED_AT + to),
        ...more,
      }),
    ])

  async function audit(toleranceMs = 0) {
    const found: Finding[] = []
    const audited = await auditDecisions(memory.store, {
      toleranceMs,
      onFinding: (finding) => void found.push(finding),
      onDamage() {},
    })
    expect(audited.findings).to.equal(found.length)
    return { ...audited, found }
  }

  it('finds nothing where every use was decided on what was known', async () => {
    await use(0, -59_500)
    await use(1, -1000)
    await revoke()
    const other = randomUUID()
    await write(tokenStream(other), [created(other)])
    await write(USAGE, [used(other, { firstAt: time(REVOKED_AT + 90_000) })])
    const { found, uses, revokedTokens, withinBound } = await audit()
    expect(found).to.deep.equal([])
    expect([uses, revokedTokens, withinBound]).to.deep.equal([11, 1, 0])
  })

  it('assesses each entry of an event by itself, and an event of the older type as one', async () => {
    await revoke()
    const other = randomUUID()
    await write(tokenStream(other), [created(other)])
    const late = { firstAt: time(REVOKED_AT + 5000), lastAt: time(REVOKED_AT + 6000), tokenRevision: 1 }
    await write(USAGE, [
      usedTogether(
        entry(other, { ...late, tokenRevision: 0 }),
        entry(id, { ...late, count: 3 }),
        entry(id, { ...late, count: 2, tokenRevision: 2, secret: 1 }),
      ),
      usedBefore(id, { ...late, count: 4 }),
    ])
    const { found, uses } = await audit()
    expect(uses).to.equal(10)
    const seen = found.map((one) => [one.kind, one.tokenId, one.revision, one.uses.atLeast])
    expect(seen).to.deep.equal([
      ['possible', id, 0, 3],
      ['certain', id, 0, 2],
      ['possible', id, 1, 4],
    ])
  })

  it('names an event whose data are not what its type has, and goes on', async () => {
    for (const data of [{}, { entries: 5 }, { entries: [null] }, { entries: [{ tokenId: id }] }])
      await write(USAGE, [movableEvent('TokensUsed', data)])
    await use(1, -1000)
    const damages: Damage[] = []
    const audited = await auditDecisions(memory.store, {
      toleranceMs: 0,
      onFinding() {},
      onDamage: (damage) => void damages.push(damage),
    })
    expect(damages.map(({ revision, what }) => [revision, what.slice(0, 15)])).to.deep.equal([
      [0, 'cannot be used:'],
    ])
    expect([audited.uses, audited.damages]).to.deep.equal([5, 1])
  })

  it('says where it does not understand what a stream says, once, and goes on with the rest', async () => {
    await write(stream, [movableEvent('TokenSplit'), movableEvent('TokenSplit')])
    await write(stream, [movableEvent('TokenRemarked', {}, { informational: true })])
    await use(4, -1000)
    await revoke()
    await use(5, 5000)
    await write(USAGE, [movableEvent('TokenUsed', {}, { schemaVersion: 99 })])
    const damages: object[] = []
    const audited = await auditDecisions(memory.store, {
      toleranceMs: 0,
      onFinding() {},
      onDamage: (damage) => void damages.push(damage),
    })
    expect(damages.map((one) => ({ ...one, position: '' }))).to.deep.equal([
      { stream, revision: 2, position: '', what: 'is of an unknown type TokenSplit' },
      { stream: USAGE, revision: 2, position: '', what: 'is of an unknown version of TokenUsed' },
    ])
    expect([audited.damages, audited.findings, audited.revokedTokens]).to.deep.equal([2, 1, 1])
  })

  it('counts uses that other processes may still accept, and finds none of them', async () => {
    await revoke()
    await use(1, -100, 1)
    await use(0, BOUND)
    await use(1, -500, -1)
    await use(1, 0)
    const { found, withinBound } = await audit()
    expect(found).to.deep.equal([])
    expect(withinBound).to.equal(10)
  })

  it('finds a window wholly after the bound: every use in it', async () => {
    await revoke()
    await use(1, BOUND + 1, BOUND + 700)
    const { found } = await audit()
    expect(found).to.have.lengthOf(1)
    expect(found[0]).to.deep.include({
      kind: 'possible',
      tokenId: id,
      stream: USAGE,
      revision: 0,
      tokenRevision: 1,
      uses: { atLeast: 5, atMost: 5 },
      revokedAt: time(REVOKED_AT),
      lateMs: 700,
    })
  })

  it('finds a window that only ends after the bound: its last use for certain, its first not', async () => {
    await revoke()
    await use(1, -300, BOUND + 1)
    const { found } = await audit()
    expect(found.map(({ kind, uses, lateMs }) => ({ kind, uses, lateMs }))).to.deep.equal([
      { kind: 'possible', uses: { atLeast: 1, atMost: 4 }, lateMs: 1 },
    ])
  })

  it('leaves out what clocks that differ, or requests that last, explain', async () => {
    await revoke()
    await use(1, BOUND + 500)
    expect((await audit(500)).found).to.have.lengthOf(0)
    expect((await audit(499)).found).to.have.lengthOf(1)
  })

  it('finds nothing in a use that the log had before the revocation, whatever the clocks say', async () => {
    await use(1, 600_000)
    await revoke()
    expect((await audit()).found).to.deep.equal([])
  })

  const impossible: [what: string, revision: number, from: number][] = [
    ['on the revision of the revocation', 2, 500],
    ['on it by a clock that was behind', 2, -50_000],
    ['on a revision that never was', 3, -50_000],
  ]
  for (const [what, revision, from] of impossible) {
    it(`is certain of a use ${what}, whatever the clocks and the tolerance`, async () => {
      await revoke()
      await use(revision, from)
      const { found } = await audit(86_400_000)
      expect(found.map(({ kind, uses }) => ({ kind, uses }))).to.deep.equal([
        { kind: 'certain', uses: { atLeast: 5, atMost: 5 } },
      ])
    })
  }

  it('is certain of a use of a token before there was one, and on a revision that came later', async () => {
    await write(USAGE, [used(randomUUID())])
    await use(2, -50_000)
    await revoke()
    const { found } = await audit()
    expect(found.map(({ what }) => what)).to.deep.equal([
      'accepted before the log knew of the token',
      'accepted on a revision that the token did not have',
    ])
  })

  it('goes by the first revocation', async () => {
    await revoke()
    await write(stream, [revoked(time(REVOKED_AT + 600_000))])
    await use(1, BOUND + 1)
    expect((await audit()).found[0]?.revokedAt).to.equal(time(REVOKED_AT))
  })

  it('assesses no use by a history that is damaged', async () => {
    await revoke()
    await use(2, 500)
    const { length } = (await audit()).found
    const forged = memory.log.find((event) => event.stream === stream && event.revision === 1)
    const { data, revision } = forged ?? {}
    for (const damage of [
      { data: { name: 'forged' }, revision },
      { data, revision: -1 },
      { data, revision: 2 ** 40 },
    ]) {
      Object.assign(forged ?? {}, damage)
      const { found, damages } = await audit()
      expect([length, found.length, damages]).to.deep.equal([1, 0, 1])
    }
  })

  it('assesses nothing of a stream that is damaged, and reports that', async () => {
    await revoke()
    await use(1, BOUND + 1)
    await use(1, BOUND + 1)
    const first = memory.log.find((event) => event.stream === USAGE)
    Object.assign(first ?? {}, { type: 'UsageLost' })
    const { found, damages } = await audit()
    expect([found.length, damages]).to.deep.equal([0, 1])
  })
})
