//! The bodies: a field of cubes that a large one rolls through, asteroids in a sphere, and a box of
//! things that tumble.

use rapier3d::prelude::*;
use starling_benches::bodies::Body;
use starling_benches::motion::Dice;

/// Cubes along one side of the field.
const FIELD: u32 = 30;
/// Between the middles of two of them, in metres.
const APART_M: f32 = 0.6;
/// Half an edge of a small cube, and of the large one, in metres.
const CUBE_M: [f32; 2] = [0.2, 0.75];
/// How fast the large one would go, in metres per second, and how hard it tries.
const ROLL_MPS: f32 = 5.0;
const ROLL_PER_S: f32 = 4.0;
/// Asteroids, and the radius of the sphere that they stay in, in metres: the density of 1,000 in a
/// sphere of 50 m, as in the open benchmark that set the bar.
const ASTEROIDS: u32 = 250;
const SPHERE_M: f32 = 31.5;
/// The planetoid in its middle.
const PLANETOID_M: f32 = 5.0;
/// Smallest and largest, in metres from the middle to a face; slowest and fastest, in metres per
/// second; fastest spin about each axis, in radians per second; what their engines can, in metres
/// per second and second.
const ASTEROID_M: [f64; 2] = [0.2, 0.8];
const ASTEROID_MPS: [f64; 2] = [1.0, 4.0];
const SPIN: f64 = 0.785;
const ENGINE: f32 = 1.0;
/// Bodies that tumble, half an edge of their box, and half the size of one, in metres.
const TUMBLERS: u32 = 250;
const BOX_M: f32 = 8.0;
const TUMBLER_M: f32 = 0.4;
/// Seconds from one kick of a tumbler to its next, on average, and the change of its speed.
const KICK_S: f32 = 1.5;
const KICK_MPS: f64 = 6.0;

/// What drives the bodies.
enum Drive {
    /// The first one rolls through the others.
    Roll { t_s: f32 },
    /// Every one keeps its own speed, and turns back at the edge of the sphere.
    Drift(Vec<f32>),
    /// Every one is kicked now and then.
    Kick(Dice),
}

/// Bodies, and the laws of motion.
pub(crate) struct Simulation {
    world: PhysicsWorld,
    bodies: Vec<RigidBodyHandle>,
    drive: Drive,
}

/// 901 cubes: 900 small ones in a field, and one that rolls through it.
pub(crate) fn field(dt: f32) -> Simulation {
    let mut simulation = Simulation::new(dt, Drive::Roll { t_s: 0.0 });
    simulation.wall([0.0, 0.0, -1.0], [100.0, 100.0, 1.0]);
    let edge = FIELD as f32 * APART_M / 2.0;
    simulation.cube([-edge - 2.0, 0.0, CUBE_M[1]], CUBE_M[1]);
    for n in 0..FIELD * FIELD {
        let [x, y] = [n % FIELD, n / FIELD].map(|i| (i as f32 + 0.5) * APART_M - edge);
        simulation.cube([x, y, CUBE_M[0] + 0.05], CUBE_M[0]);
    }
    simulation
}

/// 250 asteroids that drift through a sphere and collide with each other and a planetoid.
pub(crate) fn asteroids(dt: f32) -> Simulation {
    let mut dice = Dice::new(11);
    let mut simulation = Simulation::new(dt, Drive::Drift(Vec::new()));
    simulation.world.gravity = Vector::ZERO;
    simulation.world.insert(RigidBodyBuilder::fixed(), ColliderBuilder::ball(PLANETOID_M));
    let mut speeds = Vec::new();
    while speeds.len() < ASTEROIDS as usize {
        let at = vector(&mut dice, f64::from(SPHERE_M));
        if !(PLANETOID_M + 2.0..SPHERE_M).contains(&at.length()) {
            continue;
        }
        let [size, speed] = [ASTEROID_M, ASTEROID_MPS].map(|[a, b]| dice.between(a, b) as f32);
        let handle = simulation.cube(at.to_array(), size);
        let body = &mut simulation.world.bodies[handle];
        body.set_linvel(vector(&mut dice, 1.0).normalize_or_zero() * speed, true);
        body.set_angvel(vector(&mut dice, SPIN), true);
        speeds.push(speed);
    }
    simulation.drive = Drive::Drift(speeds);
    simulation
}

/// 250 cubes and balls in a box, none of which comes to rest.
pub(crate) fn tumble(dt: f32) -> Simulation {
    let mut simulation = Simulation::new(dt, Drive::Kick(Dice::new(7)));
    let (far, wide) = (BOX_M + 1.0, BOX_M + 2.0);
    simulation.wall([0.0, 0.0, -1.0], [wide, wide, 1.0]);
    for side in [-far, far] {
        simulation.wall([side, 0.0, 10.0], [1.0, wide, 11.0]);
        simulation.wall([0.0, side, 10.0], [wide, 1.0, 11.0]);
    }
    let per_side = 13;
    for n in 0..TUMBLERS {
        let [x, y] = [n % per_side, n / per_side % per_side].map(|i| i as f32 * 1.2 - 7.2);
        let at = [x, y, 1.0 + (n / (per_side * per_side)) as f32 * 1.5];
        if n % 2 == 0 {
            simulation.cube(at, TUMBLER_M)
        } else {
            simulation.ball(at, TUMBLER_M)
        };
    }
    simulation
}

impl Simulation {
    fn new(dt: f32, drive: Drive) -> Self {
        let mut world = PhysicsWorld::new();
        world.gravity = Vector::new(0.0, 0.0, -9.81);
        world.integration_parameters.dt = dt;
        Self { world, bodies: Vec::new(), drive }
    }

    fn wall(&mut self, at: [f32; 3], half: [f32; 3]) {
        let body = RigidBodyBuilder::fixed().translation(at.into());
        self.world.insert(body, ColliderBuilder::cuboid(half[0], half[1], half[2]));
    }

    fn cube(&mut self, at: [f32; 3], half: f32) -> RigidBodyHandle {
        self.body(at, ColliderBuilder::cuboid(half, half, half))
    }

    fn ball(&mut self, at: [f32; 3], radius: f32) -> RigidBodyHandle {
        self.body(at, ColliderBuilder::ball(radius).restitution(0.5))
    }

    fn body(&mut self, at: [f32; 3], shape: ColliderBuilder) -> RigidBodyHandle {
        let body = RigidBodyBuilder::dynamic().translation(at.into());
        let (handle, _) = self.world.insert(body, shape);
        self.bodies.push(handle);
        handle
    }

    /// One step of time; `driven` lets happen what keeps the scene going.
    pub(crate) fn step(&mut self, driven: bool) {
        if driven {
            self.drive();
        }
        self.world.step();
    }

    fn drive(&mut self) {
        let dt = self.world.integration_parameters.dt;
        match &mut self.drive {
            Drive::Roll { t_s } => {
                *t_s += dt;
                roll(&mut self.world.bodies[self.bodies[0]], *t_s, dt);
            }
            Drive::Drift(speeds) => {
                for (handle, speed) in self.bodies.iter().zip(speeds) {
                    drift(&mut self.world.bodies[*handle], *speed, dt);
                }
            }
            Drive::Kick(dice) => {
                for handle in &self.bodies {
                    if dice.chance(f64::from(dt / KICK_S)) {
                        let body = &mut self.world.bodies[*handle];
                        let kick = vector(dice, KICK_MPS);
                        body.apply_impulse(kick.with_z(kick.z.abs()) * body.mass(), true);
                    }
                }
            }
        }
    }

    /// Every body as it is now.
    pub(crate) fn bodies(&self) -> Vec<Body> {
        let body = |handle: &RigidBodyHandle| {
            let body = &self.world.bodies[*handle];
            let (at, speed, turn) = (body.translation(), body.linvel(), body.rotation());
            Body {
                position: at.to_array().map(f64::from),
                velocity: speed.to_array().map(f64::from),
                rotation: turn.to_array(),
            }
        };
        self.bodies.iter().map(body).collect()
    }
}

/// Where the large cube wants to be: a figure of three loops that crosses the whole field.
fn way(t_s: f32) -> [f32; 2] {
    let edge = FIELD as f32 * APART_M / 2.0;
    [-(0.35 * t_s).cos() * edge, (0.35 * 1.5 * t_s).sin() * edge]
}

/// The large cube is pushed along its way.
fn roll(large: &mut RigidBody, t_s: f32, dt: f32) {
    let (at, here, speed) = (way(t_s), large.translation(), large.linvel());
    let to = Vector::new(at[0] - here.x, at[1] - here.y, 0.0);
    let lack = to.clamp_length_max(1.0) * ROLL_MPS - speed.with_z(0.0);
    large.apply_impulse(lack * ROLL_PER_S * dt * large.mass(), true);
}

/// An asteroid speeds up or slows down to its own speed; beyond the sphere it turns inward.
fn drift(body: &mut RigidBody, wanted: f32, dt: f32) {
    let (at, speed) = (body.translation(), body.linvel());
    if at.length() > SPHERE_M && speed.dot(at) > 0.0 {
        let inward = -at.normalize_or_zero();
        body.set_linvel(speed - 2.0 * speed.dot(inward) * inward, true);
        return;
    }
    let lack = (wanted - speed.length()).clamp(-ENGINE * dt, ENGINE * dt);
    body.set_linvel(speed + speed.normalize_or_zero() * lack, true);
}

/// Evenly in a cube of this half edge.
fn vector(dice: &mut Dice, half: f64) -> Vector {
    let mut one = || dice.between(-half, half) as f32;
    Vector::new(one(), one(), one())
}
