import { expect } from 'chai'
import type { Condition, Query } from '../../src/application/ports/documents.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { rejection } from './fixtures.ts'
import { add, put } from './readModel.fixtures.ts'

/** The part of the read model's contract that is about queries; `model` gives the one of the test that runs. */
/** All of them, said so that an index serves it. */
const PEOPLE: Condition = { field: 'kind', op: 'eq', value: 'person' }

/** The part of the read model's contract that is about queries; `model` gives the one of the test that runs. */
export function queryContract(model: () => ReadModel): void {
  const ids = async (where: Condition[], query: Partial<Query> = {}): Promise<string[]> =>
    (await model().find('people', { where: [PEOPLE, ...where], limit: 1_000, ...query })).map(({ id }) => id)

  describe('find and count', () => {
    const rows: Record<string, Record<string, string | number | boolean | null>> = {
      a: { city: 'Rome', age: 30, name: 'anna', active: true },
      b: { city: 'Rome', age: 20, name: "bob o'neil", active: false },
      c: { city: 'Oslo', age: 30, name: 'carl_%', active: true },
      d: { city: 'Oslo', age: null, name: 'dora' },
      e: { city: 'Oslo', name: 'eve', note: 'x' },
      f: { city: 'Rome', age: 10, name: 'ann', note: 'y' },
    }

    beforeEach(() =>
      model().apply(Object.entries(rows).map(([id, fields]) => put(id, 0, { kind: 'person', ...fields }))),
    )

    const found = async (where: Condition[], query: Partial<Query> = {}): Promise<string> =>
      (await ids(where, query)).join('')

    it('gives whole documents, without bookkeeping', async () => {
      const where: Condition[] = [PEOPLE, { field: 'name', op: 'eq', value: 'anna' }]
      expect(await model().find('people', { where, limit: 5 })).to.deep.equal([
        { id: 'a', kind: 'person', ...rows.a },
      ])
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
      [
        [
          { field: 'age', op: 'gt', value: 10 },
          { field: 'age', op: 'gte', value: 10 },
          { field: 'age', op: 'lt', value: 30 },
        ],
        'b',
      ],
      [[{ any: [{ field: 'age', op: 'eq', value: null }] }], 'de'],
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
      [[{ field: 'note', op: 'gte', value: '' }], 'ef'],
    ] as [Condition[], string][]) {
      it(`finds and counts '${expected}' by ${JSON.stringify(where)}`, async () => {
        expect(await found(where)).to.equal(expected)
        expect(await model().count('people', [PEOPLE, ...where], 100)).to.equal(expected.length)
        expect(await model().count('people', [PEOPLE, ...where], 1)).to.equal(1)
      })
    }

    for (const [where, expected] of [
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
      it(`finds '${expected}' by ${JSON.stringify(where)}, in any order`, async () => {
        expect(await found(where)).to.equal(expected)
        for (const field of ['age', 'city', 'name'])
          expect((await ids(where, { order: { field } })).sort().join('')).to.equal(expected)
      })
    }

    it('finds by a dotted field', async () => {
      await model().apply([add('g', 1, { set: { kind: 'person' }, sum: { 'by.x': 3 } })])
      expect(await found([{ field: 'by.x', op: 'gte', value: 3 }])).to.equal('g')
    })

    it('sees a change of an indexed field at once', async () => {
      await model().apply([put('a', 1, { city: 'Bonn' })])
      expect(await found([{ field: 'city', op: 'eq', value: 'Rome' }])).to.equal('bf')
      expect(await found([{ field: 'city', op: 'eq', value: 'Bonn' }])).to.equal('a')
    })

    it('orders with nulls last either way and ties by id', async () => {
      expect(await found([], { order: { field: 'age' } })).to.equal('fbacde')
      expect(await found([], { order: { field: 'age', descending: true } })).to.equal('acbfde')
      expect(await found([], { order: { field: 'city', descending: true } })).to.equal('abfcde')
      expect(await found([], { order: { field: 'id', descending: true } })).to.equal('fedcba')
    })

    it('begins behind a key that no document has, within what is asked for', async () => {
      const order = { field: 'age' }
      expect(await found([], { order, after: { value: 15, id: 'zz' } })).to.equal('bacde')
      expect(await found([], { order, after: { value: 20, id: 'a' } })).to.equal('bacde')
      const older: Condition = { field: 'age', op: 'gt', value: 20 }
      expect(await found([older], { order, after: { value: 10, id: '' } })).to.equal('ac')
      expect(await found([older], { order, after: { value: 20, id: '' } })).to.equal('ac')
      expect(await found([older], { order, after: { value: null, id: '' } })).to.equal('')
    })

    it('stops at the limit', async () => {
      expect(await found([], { limit: 2 })).to.equal('ab')
      expect(await model().count('people', [PEOPLE], 4)).to.equal(4)
      expect(await model().count('people', [PEOPLE], 0)).to.equal(0)
    })

    it('looks up by ids, in any order', async () => {
      const where: Condition[] = [{ field: 'id', op: 'in', value: ['f', 'a', 'none'] }]
      const some = await model().find('people', { where, order: 'any', limit: 3 })
      expect(some.map(({ id }) => id)).to.have.members(['a', 'f'])
    })

    it('looks up numbers by ids, and nothing else of the documents', async () => {
      const where: Condition[] = [{ field: 'id', op: 'in', value: ['b', 'a', 'none'] }]
      const some = await model().find('people', { where, order: 'any', limit: 3, numbers: ['age'] })
      const whole = await model().find('people', { where, order: 'any', limit: 3 })
      const byId = (those: readonly { id: string }[]) => [...those].sort((x, y) => (x.id < y.id ? -1 : 1))
      expect(byId(some)).to.deep.equal(byId(whole.map(({ id, age }) => ({ id, age }))))
    })

    it('knows those that have no value by an index without all others, and follows a change', async () => {
      const none: Condition = { field: 'age', op: 'eq', value: null }
      const later: Condition = { field: 'name', op: 'gt', value: '' }
      const order = { field: 'name' }
      const counted = () => model().count('people', [PEOPLE, none, later], 10)
      const before = await found([none, later], { order })
      expect(before).to.have.lengthOf.above(1)
      expect(await counted()).to.equal(before.length)
      await model().apply([put(before.charAt(0), 9, { age: 7 })])
      expect(await found([none, later], { order })).to.equal(before.slice(1))
      expect(await counted()).to.equal(before.length - 1)
      await model().apply([put(before.charAt(0), 10, { age: null })])
      expect(await found([none, later], { order })).to.equal(before)
      const seven: Condition = { field: 'age', op: 'eq', value: 7 }
      expect(await rejection(model().count('people', [PEOPLE, seven, later], 1))).to.be.instanceOf(RangeError)
    })

    it('takes no field name that is more than a name', async () => {
      const where: Condition[] = [PEOPLE, { field: "a') OR 1 --", op: 'eq', value: 1 }]
      expect(await rejection(model().find('people', { where, limit: 1 }))).to.be.instanceOf(Error)
    })

    it('refuses what no index serves', async () => {
      const age: Condition = { field: 'age', op: 'gt', value: 1 }
      for (const attempt of [
        () => model().find('people', { where: [age], limit: 1 }),
        () => model().find('people', { where: [], order: { field: 'age' }, limit: 1 }),
        () => model().find('people', { where: [PEOPLE], order: { field: 'by.x' }, limit: 1 }),
        () => model().count('people', [age], 1),
        () => model().count('people', [PEOPLE, age, { field: 'city', op: 'eq', value: 'Rome' }], 1),
      ]) {
        expect(await rejection(attempt())).to.be.instanceOf(RangeError)
      }
    })

    it('ends when it is aborted', async () => {
      const gone = AbortSignal.abort(new Error('gone'))
      for (const attempt of [
        () => model().find('people', { where: [], limit: 5 }, gone),
        () => model().count('people', [], 5, gone),
      ]) {
        expect(await rejection(attempt())).to.have.property('message', 'gone')
      }
    })
  })

  describe('a page of many', () => {
    /** Many equal values, a few of a kind, and none: of each more than one read returns. */
    const MANY = 1_300
    const idOf = (i: number): string => `p${String((i * 7919) % MANY).padStart(5, '0')}`
    const rows = new Map(
      Array.from({ length: MANY }, (_, i) => [
        idOf(i),
        {
          kind: 'person',
          city: ['Rome', 'Oslo', 'Ürümqi', '\u{1F418}', '\uFFFD'][i % 5] ?? '',
          ...(i % 3 === 0 ? {} : { age: i % 3 === 1 ? i % 400 : 1_000 }),
          name: i % 50 === 0 ? 'rare' : 'frequent',
        },
      ]),
    )
    type Person = { city: string; age?: number; name: string }

    function expected(
      field: keyof Person | 'id',
      descending: boolean,
      only: (row: Person) => boolean,
    ): string[] {
      const some = [...rows].filter(([, row]) => only(row)).sort(([a], [b]) => (a < b ? -1 : 1))
      if (field === 'id') return descending ? some.map(([id]) => id).toReversed() : some.map(([id]) => id)
      const bytesOf = (value: unknown) =>
        typeof value === 'number'
          ? String(value).padStart(9, '0')
          : Buffer.from(String(value)).toString('hex')
      return some
        .sort(([, a], [, b]) => {
          const [x, y] = [a[field], b[field]]
          if (x === undefined || y === undefined) return (x === undefined ? 1 : 0) - (y === undefined ? 1 : 0)
          return (bytesOf(x) < bytesOf(y) ? -1 : bytesOf(x) > bytesOf(y) ? 1 : 0) * (descending ? -1 : 1)
        })
        .map(([id]) => id)
    }

    beforeEach(() => model().apply([...rows].map(([id, fields]) => put(id, 0, fields))))

    for (const [what, filter, only] of [
      ['all', [], () => true],
      ['few', [{ field: 'name', op: 'contains', value: 'rar' }], ({ name }) => name === 'rare'],
      ['most', [{ field: 'name', op: 'contains', value: 'freq' }], ({ name }) => name !== 'rare'],
    ] as [string, Condition[], (row: Person) => boolean][]) {
      it(`is in its order, without gap or repetition, where it has ${what} of them`, async () => {
        for (const field of ['age', 'city', 'id'] as const) {
          for (const descending of [false, true]) {
            const order = { field, descending }
            const whole = expected(field, descending, only)
            expect(await ids(filter, { order, limit: MANY }), `${field} ${descending}`).to.deep.equal(whole)
            const paged: string[] = []
            let after: Query['after']
            do {
              const where = [PEOPLE, ...filter]
              const page = await model().find('people', {
                where,
                limit: 97,
                order,
                ...(after && { after }),
              })
              paged.push(...page.map(({ id }) => id))
              const last = page.length === 97 ? page.at(-1) : undefined
              after = last && { value: (last[field] ?? null) as string | number | null, id: last.id }
            } while (after)
            expect(paged, `${field} ${descending} by pages`).to.deep.equal(whole)
          }
        }
      })
    }

    it('gives way to others while it is read, and counted', async () => {
      let turns = 0
      let timer = setImmediate(function again() {
        turns++
        timer = setImmediate(again)
      })
      try {
        await ids([{ field: 'name', op: 'contains', value: 'none' }])
        expect(turns).to.be.greaterThan(0)
      } finally {
        clearImmediate(timer)
      }
    })

    it('is counted beyond what is counted at a time', async () => {
      expect(await model().count('people', [PEOPLE], MANY + 1)).to.equal(MANY)
      expect(
        await model().count('people', [PEOPLE, { field: 'age', op: 'eq', value: 1_000 }], 9_999),
      ).to.equal([...rows.values()].filter(({ age }) => age === 1_000).length)
    })
  })
}
