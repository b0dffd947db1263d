import { expect } from 'chai'
import type { Condition, Query, ReadModel } from '../../src/application/ports.ts'
import { rejection } from './fixtures.ts'
import { add, put } from './read-model.fixtures.ts'

/** The part of the read model's contract that is about queries; `model` gives the one of the test that runs. */
export function queryContract(model: () => ReadModel): void {
  describe('find and count', () => {
    const rows: Record<string, Record<string, string | number | boolean | null>> = {
      a: { city: 'Rome', age: 30, name: 'anna', active: true },
      b: { city: 'Rome', age: 20, name: "bob o'neil", active: false },
      c: { city: 'Oslo', age: 30, name: 'carl_%', active: true },
      d: { city: 'Oslo', age: null, name: 'dora' },
      e: { city: 'Oslo', name: 'eve' },
      f: { city: 'Rome', age: 10, name: 'ann' },
    }

    beforeEach(() => model().apply(Object.entries(rows).map(([id, fields]) => put(id, 0, fields))))

    const ids = async (where: Condition[], query: Partial<Query> = {}): Promise<string> =>
      (await model().find('people', { where, limit: 100, ...query })).map(({ id }) => id).join('')

    it('gives whole documents, without bookkeeping', async () => {
      const found = await model().find('people', {
        where: [{ field: 'name', op: 'eq', value: 'anna' }],
        limit: 5,
      })
      expect(found).to.deep.equal([{ id: 'a', ...rows.a }])
    })

    for (const [where, expected] of [
      [[], 'abcdef'],
      [[{ field: 'city', op: 'eq', value: 'Rome' }], 'abf'],
      [[{ field: 'age', op: 'eq', value: 30 }], 'ac'],
      [[{ field: 'active', op: 'eq', value: true }], 'ac'],
      [[{ field: 'age', op: 'eq', value: null }], 'de'],
      [[{ field: 'age', op: 'lt', value: 30 }], 'bf'],
      [[{ field: 'age', op: 'lte', value: 30 }], 'abcf'],
      [[{ field: 'age', op: 'gt', value: 10 }], 'abc'],
      [[{ field: 'age', op: 'gte', value: 20 }], 'abc'],
      [[{ field: 'id', op: 'gt', value: 'd' }], 'ef'],
      [[{ field: 'name', op: 'contains', value: 'ann' }], 'af'],
      [[{ field: 'name', op: 'contains', value: "o'n" }], 'b'],
      [[{ field: 'name', op: 'contains', value: '_%' }], 'c'],
      [[{ field: 'name', op: 'contains', value: '.' }], ''],
      [[{ field: 'name', op: 'in', value: ['eve', 'dora', "x'"] }], 'de'],
      [[{ field: 'name', op: 'in', value: [] }], ''],
      [
        [
          { field: 'city', op: 'eq', value: 'Oslo' },
          { field: 'age', op: 'eq', value: 30 },
        ],
        'c',
      ],
      [
        [
          {
            any: [
              { field: 'age', op: 'lt', value: 20 },
              { field: 'age', op: 'eq', value: null },
            ],
          },
        ],
        'def',
      ],
      [[{ any: [] }], ''],
      [
        [
          { field: 'city', op: 'eq', value: 'Oslo' },
          {
            any: [{ field: 'age', op: 'gt', value: 0 }, { any: [{ field: 'name', op: 'eq', value: 'eve' }] }],
          },
        ],
        'ce',
      ],
    ] as [Condition[], string][]) {
      it(`finds '${expected}' by ${JSON.stringify(where)}`, async () => {
        expect(await ids(where)).to.equal(expected)
        expect(await model().count('people', where, 100)).to.equal(expected.length)
      })
    }

    it('finds by a dotted field', async () => {
      await model().apply([add('g', 1, { sum: { 'by.x': 3 } })])
      expect(await ids([{ field: 'by.x', op: 'gte', value: 3 }])).to.equal('g')
    })

    it('sees a change of an indexed field at once', async () => {
      await model().apply([put('a', 1, { city: 'Bonn' })])
      expect(await ids([{ field: 'city', op: 'eq', value: 'Rome' }])).to.equal('bf')
      expect(await ids([{ field: 'city', op: 'eq', value: 'Bonn' }])).to.equal('a')
    })

    it('orders with nulls last either way and ties by id', async () => {
      expect(await ids([], { order: { field: 'age' } })).to.equal('fbacde')
      expect(await ids([], { order: { field: 'age', descending: true } })).to.equal('acbfde')
      expect(await ids([], { order: { field: 'city', descending: true } })).to.equal('abfcde')
      expect(await ids([], { order: { field: 'id', descending: true } })).to.equal('fedcba')
    })

    it('pages through any order without gap or repetition', async () => {
      for (const field of ['age', 'city', 'name', 'id', undefined]) {
        for (const descending of [false, true]) {
          const order = field === undefined ? {} : { order: { field, descending } }
          const whole = await ids([], order)
          for (const limit of [1, 2, 4]) {
            let paged = ''
            let after: Query['after']
            for (;;) {
              const page = await model().find('people', {
                where: [],
                limit,
                ...order,
                ...(after && { after }),
              })
              paged += page.map(({ id }) => id).join('')
              const last = page.at(-1)
              if (!last) break
              after = { value: (last[field ?? 'id'] ?? null) as string | number | null, id: last.id }
            }
            expect(paged, `${field} ${descending} by ${limit}`).to.equal(whole)
          }
        }
      }
    })

    it('stops at the limit', async () => {
      expect(await ids([], { limit: 2 })).to.equal('ab')
      expect(await model().count('people', [], 4)).to.equal(4)
      expect(await model().count('people', [], 0)).to.equal(0)
    })

    it('takes no field name that is more than a name', async () => {
      const where: Condition[] = [{ field: "a') OR 1 --", op: 'eq', value: 1 }]
      expect(await rejection(model().find('people', { where, limit: 1 }))).to.be.instanceOf(Error)
    })
  })
}
