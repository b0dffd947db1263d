import { people } from '../../contract/readModel.fixtures.ts'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'

/** A process that reports all the time whether its watch is live, until it is killed. */
const model = await openMongoReadModel(process.argv[2] ?? '')
await model.open([people])
const watch = model.watch('people', ['name'], () => {})
setInterval(() => console.log(watch.isLive() ? 'live' : 'not live'), 20)
