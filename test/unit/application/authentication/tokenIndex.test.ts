import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { TokenDocument } from '../../../../projections/tokens.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { createTokenIndex } from '../../../../src/application/authentication/tokenIndex.ts'
import type { TokenRecord } from '../../../../src/application/authentication/records.ts'
import { type Asker, LOOK_UPS, OverLimitError } from '../../../../src/application/scheduling/gate.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import { hashLegacyToken, hashToken, type Pepper } from '../../../../src/domain/credential.ts'
import { undescribed } from '../../../support/events/undescribed.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { gate } from '../../../support/suite/eventually.ts'

const OLD: Pepper = { id: 'k1', key: Buffer.alloc(32, 1) }
const NEW: Pepper = { id: 'k2', key: Buffer.alloc(32, 2) }
const AT = '2026-03-01T10:00:00.000Z'

const documentOf = (token: string, pepper = NEW, fields: Partial<TokenDocument> = {}): TokenDocument => ({
  id: `id of ${token}`,
  accountId: 'acct_1',
  name: token,
  nameFolded: token,
  hash: hashToken(pepper, token),
  hashKeyId: pepper.id,
  hint: 'tkl_…abcd',
  secret: { revision: 0, hint: 'tkl_…abcd' },
  createdBy: { kind: 'jwt', id: 'acct_1' },
  ...undescribed,
  scopes: ['a'],
  createdAt: AT,
  updatedAt: AT,
  expiresAt: null,
  noticeAt: null,
  revokedAt: null,
  phase: 'active',
  revision: 0,
  chain: 'c',
  ...fields,
})

/**
 * An index over documents, and the number of its look-ups. A look-up reads at once, and answers when `held` resolves.
 * `live`: does the read model announce every change? `now`: a clock in milliseconds. `suspended`: for how long that
 * clock stood still.
 */
function indexOver(documents: TokenDocument[], { peppers = [NEW], cap = 100, isAlone = true } = {}) {
  let told: Parameters<ReadModel['watch']>[2] = () => {}
  const seen = {
    lookUps: 0,
    held: Promise.resolve(),
    live: true,
    now: 0,
    suspended: 0,
    anything: () => told(null),
  }
  const model: Pick<ReadModel, 'find' | 'watch'> = {
    watch(_, __, onChanged) {
      told = onChanged
      return { isLive: () => seen.live, async close() {}, ...(!isAlone && { trustsLookUps: false }) }
    },
    async find(collection, { where }) {
      if (collection === 'rotatedSecrets') return []
      seen.lookUps++
      const [condition] = where
      const isAny = (document: TokenDocument) =>
        condition === undefined ||
        ('any' in condition ? condition.any : [condition]).some(
          (one) => 'op' in one && one.op === 'in' && one.value.includes(document[one.field as 'hash']),
        )
      const found = documents.filter(isAny).map((document) => ({ ...document }))
      await seen.held
      return found
    },
  }
  const index = createTokenIndex(model as ReadModel, peppers, cap, () => ({
    monotonic: seen.now,
    wall: seen.now + seen.suspended,
  }))
  index.start()
  const look = async (token: string): Promise<TokenRecord> => {
    const record = await index.find(token)
    if (!record || 'isRetired' in record) throw new Error(`${token} is unknown`)
    return record
  }
  /** Is the token answered without a look-up? */
  const holds = (token: string): boolean => {
    const found = index.find(token)
    return found !== null && !(found instanceof Promise)
  }
  return { index, seen, look, holds }
}

/** In the grace of a rotation; the newer secret of `a` is `newer a`. */
const rotatedOf = (token: string, fields: Partial<TokenDocument> = {}): TokenDocument =>
  documentOf(token, NEW, {
    newerHash: hashToken(NEW, `newer ${token}`),
    newerHashKeyId: NEW.id,
    rotation: {
      revision: 1,
      hint: 'tkl_…efgh',
      startedAt: AT,
      startedBy: { kind: 'jwt', id: 'acct_1' },
      graceSeconds: 60,
    },
    activatedAt: AT,
    retiresAt: '2026-03-01T10:01:00.000Z',
    newerIsUsed: true,
    revision: 2,
    ...fields,
  })

const idsOf = (...tokens: string[]): Set<string> => new Set(tokens.map((token) => `id of ${token}`))

function change(documents: TokenDocument[], fields: Partial<TokenDocument>): void {
  const [document] = documents
  if (document) documents[0] = { ...document, ...fields }
}

describe('the token index', () => {
  it('believes a look-up for a moment without word of changes, unless others write past what it looked into', async () => {
    for (const isAlone of [true, false]) {
      const { index, seen, look } = indexOver([documentOf('plain')], { isAlone })
      const record = await look('plain')
      expect(index.isCurrent(record)).to.equal(true)
      seen.live = false
      expect(index.isCurrent(record), `alone: ${isAlone}`).to.equal(isAlone)
    }
  })

  it('gives what authentication needs, ready to use', async () => {
    const { look } = indexOver([
      documentOf('plain'),
      documentOf('other', NEW, { expiresAt: AT, revokedAt: AT, stopped: 'altered', revision: 7, scopes: [] }),
    ])
    expect(await look('plain')).to.deep.equal({
      principal: { kind: 'token', accountId: 'acct_1', tokenId: 'id of plain', scopes: ['a'], metadata: {} },
      tokenId: 'id of plain',
      createdAt: Date.parse(AT),
      secret: 0,
      retiresAt: Number.POSITIVE_INFINITY,
      isUnused: false,
      allowedIps: null,
      expiresAt: Number.POSITIVE_INFINITY,
      revoked: false,
      stopped: null,
      revision: 0,
      readAt: { monotonic: 0, wall: 0 },
      stale: false,
    })
    expect(await look('other')).to.deep.include({
      expiresAt: Date.parse(AT),
      revoked: true,
      stopped: 'altered',
      revision: 7,
    })
  })

  it('gives a principal that no request can change for the next one', async () => {
    const { principal } = await indexOver([documentOf('t')]).look('t')
    expect(principal).to.be.frozen
    expect(principal.scopes).to.be.frozen
  })

  it('looks a token up once, and answers at once from then on', async () => {
    const { index, seen, look } = indexOver([documentOf('t')])
    const record = await look('t')
    expect(index.find('t')).to.equal(record)
    expect(seen.lookUps).to.equal(1)
  })

  it('never keeps an unknown token, so that it is known as soon as it exists', async () => {
    const documents: TokenDocument[] = []
    const { index, seen, look } = indexOver(documents)
    expect(await index.find('t')).to.equal(null)
    expect(await index.find('t')).to.equal(null)
    expect({ lookUps: seen.lookUps, size: index.size() }).to.deep.equal({ lookUps: 2, size: 0 })
    documents.push(documentOf('t'))
    expect(await look('t')).to.have.property('tokenId', 'id of t')
  })

  it('finds tokens of every pepper, the old and the new, with one look-up each', async () => {
    const documents = [documentOf('old', OLD), documentOf('new', NEW)]
    const { seen, look } = indexOver(documents, { peppers: [NEW, OLD] })
    expect((await look('old')).tokenId).to.equal('id of old')
    expect((await look('new')).tokenId).to.equal('id of new')
    expect(seen.lookUps).to.equal(2)
  })

  it('finds no token of a pepper that was taken away', async () => {
    const { index } = indexOver([documentOf('old', OLD)], { peppers: [NEW] })
    expect(await index.find('old')).to.equal(null)
  })

  it('finds an imported token by its plain hash, and only where that is asked for', async () => {
    const imported = documentOf('t', NEW, { hash: hashLegacyToken('t'), hashKeyId: 'sha256' })
    const { index, seen } = indexOver([imported])
    expect(await index.find('t')).to.equal(null)
    const record = await index.find('t', true)
    expect(record?.tokenId).to.equal('id of t')
    expect(index.find('t', true)).to.equal(record)
    expect(seen.lookUps).to.equal(2)
  })

  it('never takes a hash for one of the other kind', async () => {
    // A row of the old table whose hash equals the keyed hash of a token, and a token whose keyed hash equals a plain
    // one.
    const keyed = documentOf('a', NEW, { hashKeyId: 'sha256' })
    const plain = documentOf('b', NEW, { hash: hashLegacyToken('b') })
    const { index } = indexOver([keyed, plain])
    expect(await index.find('a')).to.equal(null)
    expect(await index.find('b', true)).to.equal(null)
  })

  describe('told of a change', () => {
    it('looks the token up again', async () => {
      const documents = [documentOf('t')]
      const { index, look } = indexOver(documents)
      await look('t')
      change(documents, { revokedAt: AT, revision: 1 })
      index.evict(idsOf('t'))
      expect(await look('t')).to.include({ revoked: true, revision: 1, stale: false })
    })

    it('marks the record that somebody may still hold', async () => {
      const { index, look } = indexOver([documentOf('t')])
      const record = await look('t')
      index.evict(idsOf('t'))
      expect(record.stale).to.equal(true)
    })

    it('keeps the others', async () => {
      const { index, look, holds } = indexOver([documentOf('a'), documentOf('b')])
      await look('a')
      const b = await look('b')
      index.evict(idsOf('a', 'nobody'))
      expect({ a: holds('a'), b: holds('b'), stale: b.stale }).to.deep.equal({
        a: false,
        b: true,
        stale: false,
      })
    })

    it('starts a look-up under way again: what it read may be from before', async () => {
      const documents = [documentOf('t')]
      const { index, seen, look } = indexOver(documents)
      const { opened, open } = gate()
      seen.held = opened
      const underWay = look('t')
      change(documents, { revokedAt: AT, revision: 1 })
      index.evict(idsOf('t'))
      open()
      const record = await underWay
      expect(record).to.include({ revoked: true, revision: 1, stale: false })
      expect(seen.lookUps).to.equal(2)
      expect(index.find('t')).to.equal(record)
    })

    it('starts a look-up under way again that had found nothing', async () => {
      const documents: TokenDocument[] = []
      const { index, seen, look } = indexOver(documents)
      const { opened, open } = gate()
      seen.held = opened
      const underWay = look('t')
      documents.push(documentOf('t'))
      index.evict(idsOf('t'))
      open()
      expect((await underWay).tokenId).to.equal('id of t')
    })

    it('does not look for a token that nobody has for as long as others change', async () => {
      const { index, seen } = indexOver([])
      const changes = setInterval(() => index.evict(idsOf('others')), 1)
      const hold = (): void => {
        seen.held = sleep(20)
      }
      hold()
      const held = setInterval(hold, 5)
      const found = await Promise.race([index.find('t'), sleep(500, 'nothing')])
      clearInterval(changes)
      clearInterval(held)
      expect(found).to.equal(null)
      expect(seen.lookUps).to.equal(2)
    })

    it('marks every record of the token, also of two look-ups at once', async () => {
      const { index, look } = indexOver([documentOf('t')])
      const records = await Promise.all([look('t'), look('t'), look('t')])
      index.evict(idsOf('t'))
      expect(records.map(({ stale }) => stale)).to.deep.equal([true, true, true])
    })

    it('marks a record that had to go at the cap', async () => {
      const { index, look } = indexOver([documentOf('a'), documentOf('b')], { cap: 1 })
      const record = await look('a')
      await look('b')
      index.evict(idsOf('a'))
      expect(record.stale).to.equal(true)
    })
  })

  describe('without word of changes', () => {
    it('looks every token up, each time, and still finds it', async () => {
      const documents = [documentOf('t')]
      const { seen, look } = indexOver(documents)
      await look('t')
      seen.live = false
      change(documents, { revokedAt: AT, revision: 1 })
      expect(await look('t')).to.include({ revoked: true })
      expect(await look('t')).to.include({ revoked: true })
      expect(seen.lookUps).to.equal(3)
    })

    it('trusts nothing from before until it was told what had changed', async () => {
      const documents = [documentOf('t')]
      const { seen, look, holds } = indexOver(documents)
      await look('t')
      seen.live = false
      change(documents, { revokedAt: AT, revision: 1 })
      seen.anything()
      seen.live = true
      expect(holds('t')).to.equal(false)
      expect(await look('t')).to.include({ revoked: true })
    })

    it('starts a look-up under way again when anything may have changed', async () => {
      const documents = [documentOf('t')]
      const { seen, look } = indexOver(documents)
      const { opened, open } = gate()
      seen.held = opened
      const underWay = look('t')
      change(documents, { revokedAt: AT, revision: 1 })
      seen.anything()
      open()
      expect(await underWay).to.include({ revoked: true })
      expect(seen.lookUps).to.equal(2)
    })

    it('believes what was read for a second, and not longer', async () => {
      const { index, seen, look } = indexOver([documentOf('t')])
      const record = await look('t')
      seen.live = false
      seen.now = 999
      expect(index.isCurrent(record)).to.equal(true)
      seen.now = 1000
      expect(index.isCurrent(record)).to.equal(false)
      seen.live = true
      expect(index.isCurrent(record)).to.equal(true)
    })

    for (const [what, pause] of [
      ['the process slept', { now: 10_000 }],
      ['the machine was suspended', { suspended: 3_600_000 }],
    ] as const) {
      it(`does not believe an answer that was on its way while ${what}`, async () => {
        const documents = [documentOf('t')]
        const { seen, look } = indexOver(documents)
        seen.live = false
        const { opened, open } = gate()
        seen.held = opened
        const underWay = look('t')
        change(documents, { revokedAt: AT, revision: 1 })
        Object.assign(seen, pause)
        open()
        expect(await underWay).to.include({ revoked: true })
      })
    }

    it('tells whoever holds a record that was looked up again since', async () => {
      const { index, seen, look } = indexOver([documentOf('t')])
      seen.live = false
      const first = await look('t')
      const second = await look('t')
      index.evict(idsOf('t'))
      expect([first.stale, second.stale]).to.deep.equal([true, true])
    })

    it('trusts nothing once it was stopped', async () => {
      const { index, look, holds } = indexOver([documentOf('t')])
      await look('t')
      await index.stop()
      expect(holds('t')).to.equal(false)
    })
  })

  it('does not look a token up again because others change all the time', async () => {
    const { index, seen, look } = indexOver([documentOf('t')])
    const { opened, open } = gate()
    seen.held = opened
    const underWay = look('t')
    index.evict(idsOf('others'))
    open()
    await underWay
    expect(seen.lookUps).to.equal(1)
  })

  describe('at its cap', () => {
    it('counts memory: of large tokens there are fewer', async () => {
      const scopes = Array.from({ length: 32 }, (_, n) => `${n}`.padEnd(64, 's'))
      const model: Pick<ReadModel, 'find' | 'watch'> = {
        watch: () => ({ isLive: () => true, async close() {} }),
        async find(_, { where: [condition] }) {
          const [hash = ''] = condition && 'op' in condition && condition.op === 'in' ? condition.value : []
          const large = { id: hash, hash, accountId: hash.padEnd(255, 'a'), scopes: [...scopes] }
          return [{ ...documentOf(hash), ...large }]
        },
      }
      const index = createTokenIndex(model as ReadModel, [NEW], 131_072)
      index.start()
      for (let n = 0; n < 20_000; n++) await index.find(`token ${n}`)
      expect(index.bytes()).to.be.within(60 * 1024 * 1024, 64 * 1024 * 1024)
      expect(index.size()).to.be.within(10_000, 19_000)
      expect(index.find('token 0'), 'the first has gone').to.be.instanceOf(Promise)
      expect(index.find('token 19999')).to.not.be.instanceOf(Promise)
      index.evict(null)
      expect([index.size(), index.bytes()]).to.deep.equal([0, 0])
    })

    const documents = ['a', 'b', 'c', 'd'].map((token) => documentOf(token))

    it('lets the record go that came first, however often it was used', async () => {
      const { index, look, holds } = indexOver(documents, { cap: 2 })
      await look('a')
      await look('b')
      await look('a')
      await look('c')
      expect(index.size()).to.equal(2)
      expect(['b', 'c'].map(holds)).to.deep.equal([true, true])
      expect(holds('a')).to.equal(false)
    })

    it('never holds more', async () => {
      const { index, look } = indexOver(documents, { cap: 2 })
      for (const token of ['a', 'b', 'c', 'd', 'a', 'b']) {
        await look(token)
        expect(index.size()).to.be.at.most(2)
      }
    })

    it('finds what it let go, and takes a change of it', async () => {
      const { index, look, holds } = indexOver(documents, { cap: 1 })
      await look('a')
      await look('b')
      expect((await look('a')).tokenId).to.equal('id of a')
      index.evict(idsOf('b'))
      expect(holds('a')).to.equal(true)
    })

    it('lets one secret of a token go, and forgets the other when the token changes', async () => {
      const rotated = [rotatedOf('a'), rotatedOf('b')]
      const { index, look, holds } = indexOver(rotated, { cap: 2 })
      const [older, newer] = [await look('a'), await look('newer a')]
      expect([older.secret, newer.secret]).to.deep.equal([0, 1])
      await look('b')
      expect([holds('a'), holds('newer a'), index.size()]).to.deep.equal([false, true, 2])
      expect(index.isCurrent(older), 'nobody would mark it when the token changes').to.equal(false)
      index.evict(idsOf('a'))
      expect([holds('newer a'), index.isCurrent(newer), index.size()]).to.deep.equal([false, false, 1])
      await look('newer a')
      index.evict(idsOf('b'))
      index.evict(idsOf('a'))
      expect([index.size(), index.bytes()]).to.deep.equal([0, 0])
    })

    it('counts the memory of both secrets of a token, and what they share once', async () => {
      const { index, look } = indexOver([rotatedOf('a', { metadata: { text: 'x'.repeat(200) } })])
      await look('a')
      const one = index.bytes()
      await look('newer a')
      expect(index.bytes() - one).to.be.within(1, one / 2)
      index.evict(idsOf('a'))
      expect([index.size(), index.bytes()]).to.deep.equal([0, 0])
    })

    it('lets nobody go for a token that it holds already', async () => {
      const { look, holds } = indexOver(documents, { cap: 2 })
      await look('a')
      await Promise.all([look('b'), look('b')])
      expect(['a', 'b'].map(holds)).to.deep.equal([true, true])
    })
  })

  describe('beside strangers', () => {
    /** A caller with no tries left, so that none of its look-ups is made. */
    const spent: Asker = { name: () => 'spent', left: () => 0 }

    it('looks nothing up for a caller who has nothing left', async () => {
      const { index, seen } = indexOver([])
      expect(await rejection(asPromise(index.find('unknown', false, spent)))).to.be.instanceOf(OverLimitError)
      expect(index.lookUps()).to.deep.equal({ known: 0, unknown: 0 })
      expect(seen.lookUps, 'one look at all tokens, for all such callers').to.equal(1)
      for (let i = 0; i < 50; i++) await rejection(asPromise(index.find(`unknown ${i}`, false, spent)))
      expect(seen.lookUps).to.equal(1)
    })

    it('looks a token up for such a caller that has changed, or must be looked up again', async () => {
      const { index, seen, look } = indexOver([documentOf('t')])
      await look('t')
      index.evict(idsOf('t'))
      expect(await index.find('t', false, spent)).to.have.property('tokenId', 'id of t')
      index.evict(null)
      expect(await index.find('t', false, spent)).to.have.property('tokenId', 'id of t')
      seen.live = false
      expect(await index.find('t', false, spent)).to.have.property('tokenId', 'id of t')
      expect(index.lookUps()).to.deep.equal({ known: 3, unknown: 1 })
    })

    it('looks a token up for such a caller that had to go at the cap', async () => {
      const { index, look } = indexOver([documentOf('a'), documentOf('b')], { cap: 1 })
      await look('a')
      await look('b')
      expect(await index.find('a', false, spent)).to.have.property('tokenId', 'id of a')
    })

    it('looks a token up for such a caller that was made here a moment ago', async () => {
      const { index } = indexOver([documentOf('t')])
      index.expect('t')
      expect(await index.find('t', false, spent)).to.have.property('tokenId', 'id of t')
      expect(index.lookUps()).to.deep.equal({ known: 1, unknown: 0 })
    })

    it('looks a good token up for such a caller that was never seen here, imported ones too', async () => {
      const imported = documentOf('old', NEW, { hash: hashLegacyToken('old'), hashKeyId: 'sha256' })
      const { index } = indexOver([documentOf('t'), documentOf('gone', NEW, { revokedAt: AT }), imported])
      expect(await index.find('t', false, spent)).to.have.property('tokenId', 'id of t')
      expect(await index.find('old', true, spent)).to.have.property('tokenId', 'id of old')
      expect(await rejection(asPromise(index.find('gone', false, spent)))).to.be.instanceOf(OverLimitError)
    })

    it('does not take a good token whose document has vanished for an unknown one', async () => {
      const documents = [documentOf('one')]
      const { index, seen, look } = indexOver(documents)
      await look('one')
      const [document] = documents.splice(0)
      seen.anything()
      expect(await rejection(look('one'))).to.be.instanceOf(StoreUnavailableError)
      expect(await index.find('other')).to.equal(null)
      documents.push(document as TokenDocument)
      expect((await look('one')).tokenId).to.equal('id of one')
      documents.splice(0, 1, documentOf('one', NEW, { phase: 'revoked', revokedAt: AT, revision: 1 }))
      seen.anything()
      expect((await look('one')).revoked).to.equal(true)
      documents.splice(0)
      seen.anything()
      expect(await index.find('one')).to.equal(null)
    })

    it('knows a token no longer that was found to be bad', async () => {
      const documents = [documentOf('t')]
      const { index, seen, look } = indexOver(documents)
      await look('t')
      seen.live = false
      change(documents, { revokedAt: AT, revision: 1 })
      expect(await index.find('t', false, spent)).to.include({ revoked: true })
      expect(await rejection(asPromise(index.find('t', false, spent)))).to.be.instanceOf(OverLimitError)
    })

    it('does not let a token that is known wait behind those that are not', async () => {
      const { index, seen, look } = indexOver([documentOf('t')])
      await look('t')
      const { opened, open } = gate()
      seen.held = opened
      const strangers = Array.from({ length: 500 }, (_, i) => asPromise(index.find(`unknown ${i}`)))
      const ended = Promise.allSettled(strangers)
      await sleep(20)
      expect(seen.lookUps, 'only so many at once').to.equal(1 + LOOK_UPS.atOnce)
      seen.held = Promise.resolve()
      index.evict(idsOf('t'))
      expect((await look('t')).tokenId).to.equal('id of t')
      open()
      await ended
    })
  })
})

const asPromise = async <T>(value: T | Promise<T>): Promise<T> => value
