import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { canonical, chainOf, genesis, isLinked, link, storedChain } from '../../../src/domain/chain.ts'
import { tokenStream } from '../../../src/domain/streams.ts'

const STREAM = tokenStream('00000000-0000-7000-8000-000000000001')
const OTHER = tokenStream('00000000-0000-7000-8000-000000000002')

const first = {
  id: '00000000-0000-7000-9000-000000000001',
  type: 'TokenUpdated',
  data: { name: 'first', scopes: ['a', 'b'] },
  metadata: { at: '2026-03-01T10:00:00.000Z', actor: { kind: 'jwt', id: 'a' }, schemaVersion: 1 },
}
const second = { ...first, id: '00000000-0000-7000-9000-000000000002', data: { name: 'second' } }

describe('the canonical form', () => {
  const forms: [rule: string, value: unknown, text: string][] = [
    [
      'sorts keys at every depth',
      { b: { d: 1, c: 2 }, a: [{ f: 1, e: 2 }] },
      '{"a":[{"e":2,"f":1}],"b":{"c":2,"d":1}}',
    ],
    ['sorts keys as text, also those that look like numbers', { 10: 1, 9: 2, a: 3 }, '{"10":1,"9":2,"a":3}'],
    ['sorts by code unit, whatever the locale', { ä: 1, z: 2, Z: 3 }, '{"Z":3,"z":2,"ä":1}'],
    ['keeps the order of lists', ['b', 'a'], '["b","a"]'],
    ['leaves out what JSON leaves out', { a: undefined, b: null }, '{"b":null}'],
    ['has null for what a list cannot hold', [undefined, null], '[null,null]'],
    ['has no white space but that of texts', { 'a b': ' \n' }, '{"a b":" \\n"}'],
    ['escapes keys', { '"\\': 1 }, '{"\\"\\\\":1}'],
    ['tells texts from numbers and truth', ['1', 1, true, 'true'], '["1",1,true,"true"]'],
    ['tells empty values apart', [{}, [], '', null, 0, false], '[{},[],"",null,0,false]'],
  ]
  for (const [rule, value, text] of forms) {
    it(rule, () => {
      expect(canonical(value)).to.equal(text)
    })
  }

  it('is the same for a value that went through JSON', () => {
    for (const [, value] of forms)
      expect(canonical(JSON.parse(JSON.stringify(value)))).to.equal(canonical(value))
  })

  it('does not depend on the order in which keys were written', () => {
    expect(canonical({ a: 1, b: 2 })).to.equal(canonical({ b: 2, a: 1 }))
  })
})

describe('the chain of a stream', () => {
  it('is SHA-256 in hex over the chain before and the event without its own chain', () => {
    const body =
      '{"data":{"name":"first","scopes":["a","b"]},"id":"00000000-0000-7000-9000-000000000001",' +
      '"metadata":{"actor":{"id":"a","kind":"jwt"},"at":"2026-03-01T10:00:00.000Z","schemaVersion":1},' +
      '"type":"TokenUpdated"}'
    const expected = createHash('sha256').update(`before\n${body}`).digest('hex')
    expect(chainOf('before', first)).to.equal(expected)
    const chained = { ...first, metadata: { ...first.metadata, chain: 'whatever' } }
    expect(chainOf('before', chained)).to.equal(expected)
  })

  it('links each event to the one before it, and the first to the name of the stream', () => {
    const [a, b] = link(genesis(STREAM), [first, second])
    if (!a || !b) throw new Error('two events')
    expect(isLinked(genesis(STREAM), a)).to.equal(true)
    expect(isLinked(storedChain(a), b)).to.equal(true)
  })

  it('goes on from the last event as if all had been linked at once', () => {
    const together = link(genesis(STREAM), [first, second])
    const one = link(genesis(STREAM), [first])
    const two = one.flatMap((event) => link(storedChain(event), [second]))
    expect([...one, ...two]).to.deep.equal(together)
  })

  it('changes nothing of an event but its chain, and not the event it was given', () => {
    const before = structuredClone(first)
    const [linked] = link(genesis(STREAM), [first])
    expect(first).to.deep.equal(before)
    const chain = linked && storedChain(linked)
    expect(linked).to.deep.equal({ ...first, metadata: { ...first.metadata, chain } })
  })

  it('is not broken by another order of keys, as a store may give them back', () => {
    const [linked] = link(genesis(STREAM), [first])
    if (!linked) throw new Error('one event')
    const { data, metadata } = linked
    const reversed = (value: object) => Object.fromEntries(Object.entries(value).toReversed())
    expect(
      isLinked(genesis(STREAM), { ...linked, data: reversed(data), metadata: reversed(metadata) }),
    ).to.equal(true)
  })

  const alterations: [what: string, altered: (event: typeof first) => object][] = [
    ['the id', () => ({ id: second.id })],
    ['the type', () => ({ type: 'TokenRevoked' })],
    ['a value of the data', ({ data }) => ({ data: { ...data, name: 'First' } })],
    ['the type of a value', ({ data }) => ({ data: { ...data, name: ['first'] } })],
    ['the order of a list', ({ data }) => ({ data: { ...data, scopes: ['b', 'a'] } })],
    ['a member more in the data', ({ data }) => ({ data: { ...data, expiresAt: null } })],
    ['a member fewer in the data', ({ data: { name } }) => ({ data: { name } })],
    ['the time', ({ metadata }) => ({ metadata: { ...metadata, at: '2026-03-01T10:00:00.001Z' } })],
    ['the actor', ({ metadata }) => ({ metadata: { ...metadata, actor: { kind: 'jwt', id: 'b' } } })],
    ['the version', ({ metadata }) => ({ metadata: { ...metadata, schemaVersion: 2 } })],
    ['a member more in the metadata', ({ metadata }) => ({ metadata: { ...metadata, ip: null } })],
    ['the chain itself', ({ metadata }) => ({ metadata: { ...metadata, chain: '0'.repeat(64) } })],
    ['no chain', () => ({ metadata: first.metadata })],
  ]
  for (const [what, alter] of alterations) {
    it(`is broken by an alteration: ${what}`, () => {
      const [linked] = link(genesis(STREAM), [first])
      if (!linked) throw new Error('one event')
      expect(isLinked(genesis(STREAM), { ...linked, ...alter(linked) })).to.equal(false)
    })
  }

  it('is broken where an event was moved to another stream', () => {
    const [linked] = link(genesis(STREAM), [first])
    if (!linked) throw new Error('one event')
    expect(isLinked(genesis(OTHER), linked)).to.equal(false)
  })

  it('is broken where an event is missing, comes twice or has changed places', () => {
    const [a, b, c] = link(genesis(STREAM), [first, second, first])
    if (!a || !b || !c) throw new Error('three events')
    expect(isLinked(storedChain(a), c)).to.equal(false)
    expect(isLinked(storedChain(a), a)).to.equal(false)
    expect(isLinked(genesis(STREAM), b)).to.equal(false)
  })

  it('reads as empty where none was stored', () => {
    for (const metadata of [null, undefined, {}, { chain: null }])
      expect(storedChain({ metadata })).to.equal('')
  })
})
