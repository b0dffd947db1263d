import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../../projections/index.ts'
import type { Projection } from '../../../projections/projection.ts'
import { tokens } from '../../../projections/tokens.ts'
import { pointersIn } from '../../../src/adapters/mongodb/documents/generations.ts'
import { storedName } from '../../../src/adapters/mongodb/documents/names.ts'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { describeWithMongod, type Mongod, startMongod } from '../../support/stores/mongod.ts'
import { rejection } from '../../contract/fixtures.ts'
import { add, people, piece, position, put } from '../../contract/readModel.fixtures.ts'
import { patient } from '../../support/stores/patient.ts'

/** The collection of tokens. */
const collection = `tokens_v${tokens.version}`

describeWithMongod('Documents in MongoDB', () => {
  let server: Mongod
  let url: string
  let client: MongoClient
  let model: ReadModel
  const opened: ReadModel[] = []

  const open = async (...args: Parameters<typeof openMongoReadModel>): Promise<ReadModel> => {
    const made = await openMongoReadModel(...args)
    opened.push(made)
    return made
  }

  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })

  after(() => server.stop())

  beforeEach(async () => {
    url = server.url(`documents-${randomUUID()}`)
    client = new MongoClient(url)
    model = await open(url)
    await model.open(projections)
  })

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()))
    await client.db().dropDatabase()
    await client.close()
  })

  const token = (id: string, fields: Record<string, string | number | null>, revision = 0) =>
    ({ kind: 'put', collection: 'tokens', id, revision, fields }) as const

  it('are found by their hash by its index', async () => {
    await model.apply(Array.from({ length: 200 }, (_, i) => token(`t${i}`, { hash: `h${i}` })))
    const database = client.db()
    await database.command({ profile: 2 })
    const where = [{ field: 'hash', op: 'in', value: ['h7', 'h8'] }] as const
    const found = await model.find('tokens', { where, order: 'any', limit: 1 })
    await database.command({ profile: 0 })
    expect(found).to.deep.equal([{ id: 't7', hash: 'h7' }])
    const profile = database.collection('system.profile')
    const [look] = await profile.find({ op: 'query', ns: new RegExp(`${collection}$`) }).toArray()
    expect(look?.planSummary).to.equal('IXSCAN { hash: 1 }')
    expect(look?.docsExamined).to.equal(1)
    expect(look?.command.readConcern).to.deep.equal({ level: 'majority' })
  })

  it('keep counters as a list, for any key', async () => {
    await model.open([people])
    const counts = [
      ['GET /a.b', 1],
      ['$where', 2],
    ] as const
    await model.apply([add('a', 1, { top: [{ field: 'routes', cap: 9, other: 'other', counts }] })])
    const stored = await client.db().collection<{ _id: string }>('people_v1').findOne({ _id: 'a' })
    expect(stored).to.deep.equal({
      _id: 'a',
      _position: position(1),
      routes: [
        { key: 'GET /a.b', count: 1 },
        { key: '$where', count: 2 },
      ],
    })
  })

  it('make no member in passing for a change that comes too late', async () => {
    await model.open([people])
    await model.apply([add('a', 2, { sum: { n: 1 } })])
    await model.apply([add('a', 1, { sum: { 'by.x': 1 }, min: { 'at.first': 'm' } })])
    expect(await model.get('people', 'a')).to.deep.equal({ id: 'a', n: 1 })
  })

  it('are refused with a value of another type, by the adapter or by anyone else', async () => {
    const error = (await rejection(model.apply([token('a', { hash: 'h', revision: 'one' })]))) as Error
    expect(error).to.not.be.instanceOf(StoreUnavailableError)
    expect(error.message).to.equal('MongoDB refused it: code 121')
    expect(await model.get('tokens', 'a')).to.equal(null)
    const documents = client.db().collection<{ _id: string; scopes?: unknown }>(collection)
    for (const scopes of ['all', [1], null]) {
      expect(await rejection(documents.insertOne({ _id: 'b', scopes }))).to.have.property('code', 121)
    }
    await documents.insertOne({ _id: 'b' })
  })

  it('stop behind one that is refused: what follows is not written before it', async () => {
    await model.open([people])
    await model.apply([put('a', 0, { email: 'taken' })])
    const changes = [
      add('b', 1, { sum: { n: 1 } }),
      put('b', 0, { email: 'taken' }),
      add('b', 2, { sum: { n: 1 } }),
    ]
    const at = piece([people], 0, 2)
    expect(await rejection(model.apply(changes, at))).to.be.instanceOf(Error)
    expect(await model.get('people', 'b')).to.deep.equal({ id: 'b', n: 1 })
    expect(await model.checkpoint(people)).to.equal(null)
    await model.apply([put('a', 1, { email: 'moved' })])
    await model.apply(changes, at)
    expect(await model.get('people', 'b')).to.deep.equal({ id: 'b', n: 2, email: 'taken' })
  })

  it('are made by many at once', async () => {
    const anyone = patient(model)
    await Promise.all(Array.from({ length: 50 }, (_, i) => anyone.apply([token('new', { revision: i }, i)])))
    expect(await model.get('tokens', 'new')).to.deep.equal({ id: 'new', revision: 49 })
  })

  it('find their collections, validators and indexes made, also by several processes that start at once', async () => {
    const fresh = server.url(`documents-${randomUUID()}`)
    const models = await Promise.all(Array.from({ length: 5 }, () => open(fresh)))
    await Promise.all(models.map((each) => each.open([...projections, people])))
    const changed = { ...people.collections[0], schema: { ...people.collections[0]?.schema } }
    changed.schema.properties = { id: { type: 'string' }, age: { type: 'integer' } }
    await models[0]?.open([{ ...people, collections: [changed as (typeof people.collections)[0]] }])
    const made = client.db(new URL(fresh).pathname.slice(1))
    // Who comes second may have begun another generation before the first one's was live.
    const pointers = await pointersIn(made).find().toArray()
    const inUse = (projection: Projection): string =>
      storedName(projection, pointers.find(({ _id }) => _id === storedName(projection))?.live)
    const indexes = await made.collection(inUse(tokens)).indexes()
    const [there] = await made.listCollections({ name: inUse(people) }).toArray()
    await made.dropDatabase()
    expect(indexes.map(({ key }) => Object.keys(key).join())).to.have.members([
      '_id',
      ...tokens.collections.flatMap(({ indexes: wanted }) =>
        wanted.map(({ fields, unique }) => (unique ? fields : [...fields, '_id']).join()),
      ),
    ])
    expect(there).to.have.nested.property('options.validator.$jsonSchema.properties.age')
  })

  it('are read and left alone by who opens for reading only', async () => {
    await model.apply([token('a', { hash: 'h' })])
    const reader = await open(url, { readOnly: true })
    await reader.open([...projections, people])
    expect(await reader.get('tokens', 'a')).to.deep.equal({ id: 'a', hash: 'h' })
    expect(await reader.get('people', 'a')).to.equal(null)
    for (const attempt of [
      () => reader.apply([]),
      () => reader.publish(projections),
      () => reader.acquireLease('group', { id: 'a', ttlMs: 1_000, lag: 0, caughtUp: true }),
    ]) {
      expect(await rejection(attempt())).to.be.instanceOf(StoreUnavailableError)
    }
    const names = (await client.db().listCollections().toArray()).map(({ name }) => name)
    expect(names).to.not.include('people_v1')
  })

  it('go to the database of the connection string, or to tokenledger', async () => {
    const address = `mongodb://127.0.0.1:${server.port}/?replicaSet=rs0`
    const own = await open(address)
    await own.open(projections)
    await own.apply([token('a', { hash: 'h' })])
    const byDefault = client.db('tokenledger')
    expect(await byDefault.collection(collection).countDocuments()).to.equal(1)
    await byDefault.dropDatabase()
  })

  it('never give away the connection string, nor a value in an error', async () => {
    await model.apply([token('a', { hash: 'c0ffee' })])
    const host = `127.0.0.1:${server.port}`
    const errors = [
      await rejection(model.apply([token('b', { hash: 'c0ffee' })])),
      await rejection(open(`mongodb://someone:c0ffee@${host}/`)),
      await rejection(open(`mongodb://someone:c0ffee@${host}@/`)),
      await rejection(open(`mongodb://someone:c0ffee@127.0.0.1:1/`)),
      await rejection(open(`mongo://someone:c0ffee@${host}/`)),
    ]
    const [taken, denied, , down] = errors
    expect(taken).to.have.property('message', 'MongoDB refused it: code 11000')
    expect(denied).to.be.instanceOf(StoreUnavailableError)
    expect(down).to.be.instanceOf(StoreUnavailableError)
    for (const error of errors) {
      expect(error).to.be.instanceOf(Error)
      expect(inspect(error, { depth: 9, showHidden: true })).to.not.match(/c0ffee|someone/)
    }
  })
})
