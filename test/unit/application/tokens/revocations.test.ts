import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { TokenDocument } from '../../../../projections/tokens.ts'
import type { Condition } from '../../../../src/application/ports/documents.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import type { Identify } from '../../../../src/application/tokens/identify.ts'
import { createRevokeMany, type RevokeMany } from '../../../../src/application/tokens/revocations.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { assemblePieces, context, type Pieces } from '../../../support/stores/pieces.ts'

const HOW = { reason: 'leaked', isDryRun: false }
const unasked: Identify = async () => {
  throw new Error('no secrets were named')
}

describe('Revoking many', () => {
  let folder: string
  let pieces: Pieces
  let revokeMany: RevokeMany
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    pieces = await assemblePieces(folder)
    const { readModel } = pieces.model
    revokeMany = createRevokeMany({ readModel, identify: unasked, manage: pieces.manage, clock: Date.now })
  })
  afterEach(async () => {
    await pieces.close()
    rmSync(folder, { recursive: true })
  })

  const threeIds = async (): Promise<string[]> => {
    const ids: string[] = []
    for (const name of ['a', 'b', 'c']) ids.push((await pieces.create(name)).id)
    return ids
  }

  it('says which could not be, while others were', async () => {
    const ids = await threeIds()
    pieces.events.next = ['ok', 'unavailable']
    const { data } = await revokeMany(context(), { ids }, HOW)
    expect(data.map(({ why }) => why).filter((why) => why !== null)).to.deep.equal(['store_unavailable'])
    const again = await revokeMany(context(), { ids }, HOW)
    expect(again.data.map(({ why }) => why)).to.have.members(['already_revoked', 'already_revoked', null])
  })

  it('says of each token once that it was revoked now, however many ask at once', async () => {
    const ids = await threeIds()
    const answers = await Promise.all(Array.from({ length: 4 }, () => revokeMany(context(), { ids }, HOW)))
    for (const [i, id] of ids.entries()) {
      const rows = answers.map(({ data }) => [data[i]?.status, data[i]?.why])
      expect(rows.filter(([, why]) => why === null)).to.deep.equal([['active', null]])
      expect(rows.filter(([, why]) => why !== null)).to.deep.equal(
        Array.from({ length: 3 }, () => ['revoked', 'already_revoked']),
      )
      const { data } = await pieces.queries.history(id, { limit: 10 })
      expect(data.map(({ type }) => type)).to.deep.equal(['TokenCreated', 'TokenRevoked'])
    }
  })

  it('counts as its own a revocation of which it hears only later that it was written', async () => {
    const ids = await threeIds()
    pieces.events.next = ['landed', 'landed', 'landed']
    const { data } = await revokeMany(context(), { ids }, HOW)
    expect(data.map(({ why }) => why)).to.deep.equal([null, null, null])
  })

  it('is an outage where none could be', async () => {
    const ids = await threeIds()
    pieces.events.down = true
    const error = await rejection(revokeMany(context(), { ids }, HOW))
    expect(error).to.be.instanceOf(StoreUnavailableError)
    pieces.events.down = false
    expect((await revokeMany(context(), { ids: ['nothing'] }, HOW)).data[0]?.why).to.equal('not_found')
  })

  it('takes a thousand tokens of an account at a time, eight at once, and says how many are left', async () => {
    const now = new Date().toISOString()
    const tokens = Array.from({ length: 2_500 }, (_, i) => ({
      id: String(i),
      accountId: 'acct_1',
      revokedAt: null as string | null,
      createdAt: now,
      expiresAt: null,
      revision: 0,
    }))
    const left = () => tokens.filter(({ revokedAt }) => revokedAt === null)
    const isOfActive = (where: readonly Condition[]): boolean =>
      where.some((one) => 'field' in one && one.field === 'phase' && one.value === 'active')
    let [underWay, most] = [0, 0]
    const revokeThem = createRevokeMany({
      readModel: {
        get: async () => null,
        find: async (_, { where, limit }) => (isOfActive(where) ? left().slice(0, limit) : []),
        count: async (_, where) => (isOfActive(where) ? left().length : 0),
      },
      identify: unasked,
      manage: {
        async revoke(_, { seen }) {
          most = Math.max(most, ++underWay)
          await Promise.resolve()
          const token = tokens[Number(seen?.id)]
          if (token) token.revokedAt = now
          underWay--
          return true
        },
      },
      clock: Date.now,
    })
    const remaining: number[] = []
    for (let round = 0; round < 4; round++) {
      const found = await revokeThem(context(), { accountId: 'acct_1' }, HOW)
      expect(found.data.every(({ why }) => why === null)).to.equal(true)
      remaining.push(found.remaining)
    }
    expect(remaining).to.deep.equal([1_500, 500, 0, 0])
    expect(left()).to.deep.equal([])
    expect(most).to.equal(8)
  })

  it('misses no token of an account that expires while they are looked for, and names it once', async () => {
    const now = new Date().toISOString()
    const token = {
      id: 'one',
      accountId: 'acct_1',
      revokedAt: null,
      createdAt: now,
      expiresAt: now,
      revision: 0,
    }
    let phase = 'active'
    const revokeThem = createRevokeMany({
      readModel: {
        get: async () => null,
        async find(_, { where }) {
          const isAsked = (wanted: string) =>
            where.some((one) => 'field' in one && one.field === 'phase' && one.value === wanted)
          // It expires while the active ones are read.
          if (isAsked('active')) {
            await Promise.resolve()
            phase = 'expired'
          }
          return isAsked(phase) ? [token] : []
        },
        count: async () => 0,
      },
      identify: unasked,
      manage: { revoke: async () => true },
      clock: Date.now,
    })
    const { data } = await revokeThem(context(), { accountId: 'acct_1' }, HOW)
    expect(data.map(({ token: found, why }) => [found?.id, why])).to.deep.equal([['one', null]])
  })

  it('leaves alone a token of which only uses are known', async () => {
    const readModel = {
      ...pieces.model.readModel,
      find: async () => [{ id: 'used', lastAccessed: '2026-11-20T12:00:00.000Z' }],
    }
    const identify: Identify = async () => [
      { token: { id: 'used' } as TokenDocument, hint: '…', isDead: false },
    ]
    const revokeThem = createRevokeMany({ readModel, identify, manage: pieces.manage, clock: Date.now })
    const { data } = await revokeThem(context(), { credentials: ['x'] }, HOW)
    expect(data).to.deep.equal([{ token: null, status: null, why: 'not_found' }])
  })
})
