import { expect } from 'chai'
import { type TokenUpdate, create, importToken, revoke, update } from '../../../src/domain/decide.ts'
import { Refusal } from '../../../src/domain/errors.ts'
import type { EventData } from '../../../src/domain/events.ts'
import type { TokenState } from '../../../src/domain/token.ts'
import { undescribed } from '../../support/events/undescribed.ts'
import { given, type LifecycleFact, TOKEN_ID } from '../../support/events/specification.ts'

const LATER = '2027-01-01T00:00:00.000Z'

const data: EventData<'TokenCreated'> = {
  tokenId: TOKEN_ID,
  accountId: 'acct_1',
  name: 'first',
  hash: 'a'.repeat(64),
  hashKeyId: 'k1',
  hint: 'tkl_…abcd',
  scopes: ['a', 'b'],
  expiresAt: null,
  ...undescribed,
}
const created: LifecycleFact = { type: 'TokenCreated', data }
const updated = (change: TokenUpdate): LifecycleFact => ({ type: 'TokenUpdated', data: change })
const revoked = (reason: string | null = null): LifecycleFact => ({ type: 'TokenRevoked', data: { reason } })

const always = () => true
const never = () => false
const at = (wanted: number) => (revision: number) => revision === wanted

describe('creating a token', () => {
  it('gives TokenCreated with the data it was given', () => {
    given()
      .when((state) => create(state, data))
      .thenGives(created)
  })

  it('that exists is refused', () => {
    given(created)
      .when((state) => create(state, data))
      .thenRefuses('conflict')
  })

  it('that was revoked is refused: its id is never used again', () => {
    given(created, revoked())
      .when((state) => create(state, data))
      .thenRefuses('conflict')
  })
})

describe('importing a token', () => {
  const old: EventData<'TokenImported'> = {
    ...data,
    hashKeyId: 'sha256',
    createdAt: '2024-01-01T00:00:00.000Z',
    updatedAt: '2024-02-01T00:00:00.000Z',
    lastAccessed: null,
    oldId: '17',
  }

  it('gives TokenImported with the data it was given', () => {
    given()
      .when((state) => importToken(state, old))
      .thenGives({ type: 'TokenImported', data: old })
  })

  it('that exists, or has existed, is refused', () => {
    for (const facts of [[created], [created, revoked()]]) {
      given(...facts)
        .when((state) => importToken(state, old))
        .thenRefuses('conflict')
    }
  })

  it('makes a token that is changed and revoked like any other', () => {
    const imported = given({ type: 'TokenImported', data: old })
    imported
      .when((state) => update(state, { name: 'new', scopes: ['a', 'b'] }, at(0), 'jwt'))
      .thenGives(updated({ name: 'new' }))
    imported.when((state) => revoke(state, 'moved', at(0))).thenGives(revoked('moved'))
  })
})

describe('updating a token', () => {
  const changes: [what: string, change: TokenUpdate][] = [
    ['the name', { name: 'second' }],
    ['the scopes', { scopes: ['c'] }],
    ['the scopes to none', { scopes: [] }],
    ['the order of the scopes', { scopes: ['b', 'a'] }],
    ['the expiry', { expiresAt: LATER }],
    ['everything', { name: 'second', scopes: ['c'], expiresAt: LATER }],
  ]
  for (const [what, change] of changes) {
    it(`may change ${what}`, () => {
      given(created)
        .when((state) => update(state, change, always, 'jwt'))
        .thenGives(updated(change))
    })
  }

  it('may take the expiry away', () => {
    given(created, updated({ expiresAt: LATER }))
      .when((state) => update(state, { expiresAt: null }, always, 'jwt'))
      .thenGives(updated({ expiresAt: null }))
  })

  it('records only the members that differ', () => {
    given(created)
      .when((state) => update(state, { name: 'first', scopes: ['a', 'b'], expiresAt: LATER }, always, 'jwt'))
      .thenGives(updated({ expiresAt: LATER }))
  })

  it('compares with the token as it is now, not as it was created', () => {
    given(created, updated({ name: 'second' }))
      .when((state) => update(state, { name: 'first' }, always, 'jwt'))
      .thenGives(updated({ name: 'first' }))
  })

  it('to what it is already gives no event', () => {
    given(created)
      .when((state) => update(state, { name: 'first', scopes: ['a', 'b'], expiresAt: null }, always, 'jwt'))
      .thenGives(null)
  })

  it('with no member gives no event', () => {
    given(created)
      .when((state) => update(state, {}, always, 'jwt'))
      .thenGives(null)
  })

  it('is checked by the revision of its newest event', () => {
    const change = { name: 'third' }
    const twice = given(created, updated({ name: 'second' }))
    twice.when((state) => update(state, change, at(1), 'jwt')).thenGives(updated(change))
    twice.when((state) => update(state, change, at(0), 'jwt')).thenRefuses('precondition_failed')
  })

  it('of another revision is refused, even if it changed nothing', () => {
    given(created)
      .when((state) => update(state, { name: 'first' }, never, 'jwt'))
      .thenRefuses('precondition_failed')
  })

  it('that nobody created is refused, whatever If-Match says', () => {
    given()
      .when((state) => update(state, { name: 'second' }, never, 'jwt'))
      .thenRefuses('not_found')
  })

  it('that was revoked is refused, whatever If-Match says and even if it changed nothing', () => {
    const gone = given(created, revoked())
    gone.when((state) => update(state, { name: 'first' }, always, 'jwt')).thenRefuses('token_revoked')
    gone.when((state) => update(state, { name: 'second' }, never, 'jwt')).thenRefuses('token_revoked')
  })

  const withEvents = (events: number, ...facts: LifecycleFact[]) => {
    const { state } = given(created, ...facts)
    return { ...state, revision: events - 1 } as TokenState
  }
  const change = { name: 'second' }

  for (const [who, by, most] of [
    ['a JWT', 'jwt', 10_000],
    ['the token itself', 'token', 9_000],
  ] as const) {
    it(`by ${who} is refused where the stream has ${most} events`, () => {
      expect(update(withEvents(most - 1), change, always, by)).to.deep.equal(updated(change))
      for (const events of [most, most + 1, 20_000]) {
        expect(() => update(withEvents(events), change, always, by))
          .to.throw(Refusal)
          .with.property('code', 'token_history_full')
      }
    })
  }

  it('is refused for want of room after all else, and only where an event would come of it', () => {
    const codeOf = (state: TokenState, to: TokenUpdate, ifMatch: typeof always) => {
      try {
        return update(state, to, ifMatch, 'jwt')
      } catch (error) {
        return (error as Refusal).code
      }
    }
    expect(codeOf(withEvents(10_000, revoked()), change, never)).to.equal('token_revoked')
    expect(codeOf(withEvents(10_000), change, never)).to.equal('precondition_failed')
    expect(codeOf(withEvents(10_000), { name: 'first' }, always)).to.equal(null)
    expect(codeOf(withEvents(10_000), change, always)).to.equal('token_history_full')
  })

  it('has room again for nothing but its end', () => {
    expect(revoke(withEvents(10_000), 'over', always)).to.deep.equal(revoked('over'))
    expect(revoke(withEvents(30_000), 'over', always)).to.deep.equal(revoked('over'))
  })
})

describe('revoking a token', () => {
  it('gives TokenRevoked with its reason, or without', () => {
    const live = given(created)
    live.when((state) => revoke(state, 'leaked', always)).thenGives(revoked('leaked'))
    live.when((state) => revoke(state, null, always)).thenGives(revoked(null))
  })

  it('a second time gives no event, whatever If-Match says', () => {
    const gone = given(created, revoked('leaked'))
    gone.when((state) => revoke(state, 'again', always)).thenGives(null)
    gone.when((state) => revoke(state, 'again', never)).thenGives(null)
  })

  it('of another revision is refused', () => {
    const twice = given(created, updated({ name: 'second' }))
    twice.when((state) => revoke(state, null, at(0))).thenRefuses('precondition_failed')
    twice.when((state) => revoke(state, null, at(1))).thenGives(revoked())
  })

  it('that nobody created is refused, whatever If-Match says', () => {
    given()
      .when((state) => revoke(state, null, never))
      .thenRefuses('not_found')
  })
})

describe('a decision', () => {
  it('changes nothing by itself: neither the state nor what it was asked', () => {
    const { state } = given(created)
    const before = structuredClone(state)
    const change = { name: 'second', scopes: ['c'] }
    update(state, change, always, 'jwt')
    revoke(state, 'leaked', always)
    expect(state).to.deep.equal(before)
    expect(change).to.deep.equal({ name: 'second', scopes: ['c'] })
  })
})
