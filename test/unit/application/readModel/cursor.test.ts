import { expect } from 'chai'
import { type Cursor, decodeCursor, encodeCursor } from '../../../../src/application/readModel/cursor.ts'
import { Refusal } from '../../../../src/domain/errors.ts'

const LIST = 'tokens:createdAt'
const coded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a cursor', () => {
  for (const value of ['2026-03-01T10:00:00.000Z', '', 'Ünïcode "quoted" 鍵', 0, -1.5, null]) {
    it(`gives back where a page ended: ${JSON.stringify(value)}`, () => {
      const cursor: Cursor = { of: LIST, value, id: 'an id' }
      expect(decodeCursor(LIST, encodeCursor(cursor))).to.deep.equal({ value, id: 'an id' })
    })
  }

  it('stands in a URL as it is', () => {
    expect(encodeCursor({ of: LIST, value: '???>>>~~~ÿÿ', id: 'x' })).to.match(/^[\w-]+$/)
  })

  const refused: [what: string, text: string][] = [
    ['of another list', encodeCursor({ of: 'tokens:name', value: 'a', id: 'x' })],
    ['that is empty', ''],
    ['that is not base64', '!!!'],
    ['that is not JSON', Buffer.from('{').toString('base64url')],
    ['that is not a list', coded({ of: LIST, value: 'a', id: 'x' })],
    ['that is null', coded(null)],
    ['that is a text', coded(LIST)],
    ['without an id', coded([LIST, 'a'])],
    ['with an id that is not a text', coded([LIST, 'a', 1])],
    ['with a value that is a list', coded([LIST, ['a'], 'x'])],
    ['with a value that is an object', coded([LIST, { a: 1 }, 'x'])],
    ['without a value', coded([LIST])],
    ['that is longer than any', encodeCursor({ of: LIST, value: 'a'.repeat(2000), id: 'x' })],
    ['that was cut off', encodeCursor({ of: LIST, value: 'a', id: 'x' }).slice(0, -4)],
  ]
  for (const [what, text] of refused) {
    it(`${what} is refused as input of the caller`, () => {
      const error = (() => {
        try {
          return decodeCursor(LIST, text)
        } catch (thrown) {
          return thrown
        }
      })()
      expect(error).to.be.instanceOf(Refusal)
      const { code, errors } = error as Refusal
      expect(code).to.equal('validation_failed')
      expect(errors.map(({ path }) => path)).to.deep.equal([['cursor']])
    })
  }
})
