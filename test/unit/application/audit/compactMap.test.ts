import { expect } from 'chai'
import { createCompactMap } from '../../../../src/application/audit/compactMap.ts'

describe('A compact map', () => {
  it('gives back what was put under each of very many names, and nothing under others', () => {
    const map = createCompactMap(8)
    const names = Array.from({ length: 50_000 }, (_, i) => `stream-${i}`)
    for (const [i, name] of names.entries()) map.add(name).writeDoubleLE(i)
    expect(map.size()).to.equal(names.length)
    for (const [i, name] of names.entries()) expect(map.get(name)?.readDoubleLE()).to.equal(i)
    for (const name of names) expect(map.get(`${name}x`)).to.equal(undefined)
  })

  it('hands out records to be changed in place, all zero at first', () => {
    const map = createCompactMap(4)
    expect(map.add('a')).to.deep.equal(Buffer.alloc(4))
    map.get('a')?.writeUInt32LE(7)
    map.add('b')
    expect(map.get('a')?.readUInt32LE()).to.equal(7)
  })
})
