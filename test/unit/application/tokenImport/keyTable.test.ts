import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { createColumn, createKeyTable } from '../../../../src/application/tokenImport/keyTable.ts'

const key = (n: number): Buffer => createHash('sha256').update(String(n)).digest().subarray(0, 16)

describe('a key table', () => {
  it('knows every key that it was given, with its number, and no other', () => {
    const table = createKeyTable(16)
    const many = 10_000
    for (let n = 0; n < many; n++) expect(table.add(key(n), n + 1)).to.equal(null)
    for (let n = 0; n < many; n++) expect(table.find(key(n))).to.equal(n + 1)
    for (let n = many; n < 2 * many; n++) expect(table.find(key(n))).to.equal(null)
  })

  it('keeps the first number of a key that comes again', () => {
    const table = createKeyTable(16)
    table.add(key(1), 7)
    expect(table.add(key(1), 8)).to.equal(7)
    expect(table.find(key(1))).to.equal(7)
  })

  it('tells keys apart that differ in one byte, wherever it is', () => {
    const table = createKeyTable(16)
    const zero = Buffer.alloc(16)
    for (let at = 0; at < 16; at++) {
      for (let byte = 1; byte < 256; byte++) {
        zero[at] = byte
        expect(table.add(zero, at * 256 + byte)).to.equal(null)
      }
      zero[at] = 0
    }
    zero[9] = 3
    expect(table.find(zero)).to.equal(9 * 256 + 3)
  })

  it('does not find what is no key by its width', () => {
    const table = createKeyTable(16)
    table.add(Buffer.alloc(16), 1)
    expect(table.find(Buffer.alloc(0))).to.equal(null)
    expect(table.find(Buffer.alloc(15))).to.equal(null)
  })
})

describe('a column', () => {
  it('gives back each row as it was, past every growth', () => {
    const column = createColumn(16)
    for (let n = 0; n < 5000; n++) column.push(key(n))
    expect(column.rows()).to.equal(5000)
    for (const n of [0, 1023, 1024, 2048, 4999]) expect(key(n).equals(column.at(n)), String(n)).to.equal(true)
  })
})
