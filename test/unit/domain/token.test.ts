import { expect } from 'chai'
import type { Fact } from '../../../src/domain/events.ts'
import { statusAt } from '../../../src/domain/token.ts'
import { undescribed } from '../../support/events/undescribed.ts'
import { given, type LifecycleFact, TOKEN_ID, timeOf } from '../../support/events/specification.ts'

const NOW = '2026-03-01T10:00:00.000Z'
const BEFORE = '2026-03-01T09:59:59.999Z'
const AFTER = '2026-03-01T10:00:00.001Z'

const created: Fact<'TokenCreated'> = {
  type: 'TokenCreated',
  data: {
    tokenId: TOKEN_ID,
    accountId: 'acct_1',
    name: 'first',
    hash: 'a'.repeat(64),
    hashKeyId: 'k1',
    hint: 'tkl_…abcd',
    scopes: ['a'],
    expiresAt: null,
    ...undescribed,
  },
}
const renamed: LifecycleFact = { type: 'TokenUpdated', data: { name: 'second' } }
const revoked: LifecycleFact = { type: 'TokenRevoked', data: { reason: 'leaked' } }

describe('the status of a token', () => {
  const rules: [rule: string, revokedAt: string | null, expiresAt: string | null, status: string][] = [
    ['is active without an expiry', null, null, 'active'],
    ['is active until its expiry', null, AFTER, 'active'],
    ['is expired from its expiry on', null, NOW, 'expired'],
    ['is expired after its expiry', null, BEFORE, 'expired'],
    ['is revoked once it was revoked', BEFORE, null, 'revoked'],
    ['is revoked rather than expired', BEFORE, BEFORE, 'revoked'],
    ['is revoked at once, whatever the clock of the one who asks', AFTER, AFTER, 'revoked'],
  ]
  for (const [rule, revokedAt, expiresAt, status] of rules) {
    it(rule, () => {
      expect(statusAt({ revokedAt, expiresAt }, NOW)).to.equal(status)
    })
  }
})

describe('the state of a token', () => {
  it('is none before its first event', () => {
    expect(given().state).to.deep.equal({ status: 'none' })
  })

  it('starts with what it was created with', () => {
    const { hash, hashKeyId, hint, ...data } = created.data
    expect(given(created).state).to.deep.equal({
      status: 'active',
      ...data,
      secret: { revision: 0, hash, hashKeyId, hint },
      rotation: null,
      createdBy: { kind: 'jwt', id: 'a' },
      createdAt: timeOf(0),
      updatedAt: timeOf(0),
      noticeAt: null,
      revokedAt: null,
      revision: 0,
    })
  })

  it('starts with the old times where it was imported, and goes on with the new ones', () => {
    const { hash, hint: _, hashKeyId: __, rotatable: ___, ...known } = created.data
    const old = { ...known, createdAt: '2024-01-01T00:00:00.000Z', updatedAt: BEFORE }
    const secret = { hash, hint: '…', hashKeyId: 'sha256' as const }
    const imported: LifecycleFact = {
      type: 'TokenImported',
      data: { ...old, ...secret, lastAccessed: NOW, oldId: '17' },
    }
    const state = {
      ...old,
      status: 'active',
      secret: { revision: 0, ...secret },
      rotation: null,
      rotatable: false,
      createdBy: { kind: 'jwt', id: 'a' },
      noticeAt: null,
      revokedAt: null,
      revision: 0,
    }
    expect(given(imported).state).to.deep.equal(state)
    expect(given(imported, renamed).state).to.deep.equal({
      ...state,
      name: 'second',
      updatedAt: timeOf(1),
      revision: 1,
    })
    expect(given(imported, revoked).state).to.include({ status: 'revoked', revokedAt: timeOf(1) })
  })

  it('takes over what an update names, and nothing else', () => {
    const before = given(created).state
    expect(given(created, renamed).state).to.deep.equal({
      ...before,
      name: 'second',
      updatedAt: timeOf(1),
      revision: 1,
    })
  })

  it('keeps everything else when it is revoked', () => {
    const before = given(created, renamed).state
    expect(given(created, renamed, revoked).state).to.deep.equal({
      ...before,
      status: 'revoked',
      updatedAt: timeOf(2),
      revokedAt: timeOf(2),
      revision: 2,
    })
  })

  it('stays revoked since the first time, whatever comes after', () => {
    const { state } = given(created, revoked, renamed, revoked)
    expect(state).to.include({ status: 'revoked', revokedAt: timeOf(1), updatedAt: timeOf(3), revision: 3 })
  })

  it('is none as long as nothing created it', () => {
    expect(given(renamed, revoked).state).to.deep.equal({ status: 'none' })
  })
})
