"""TensoRF: what its planes and lines hold, how they grow, and that they load again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from geometry.region import Region
from models.field import Field, GrowingField
from models.tensorf.field import TensoRF

BOX = Region((0.5, -1.0, 2.0), (1.0, 2.0, 0.5))
CUBE = Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))
OPEN = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), unbounded=True)


def points_in(region: Region, count: int, seed: int = 0, reach: float = 0.999) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    unit = reach * (2 * torch.rand(count, 3, generator=generator) - 1)
    return torch.tensor(region.center) + unit * torch.tensor(region.half)


def small(region: Region = BOX, resolution: int = 12, start: int | None = None) -> TensoRF:
    torch.manual_seed(0)
    return TensoRF(region, resolution, start, 3, 4, 5, 16)


@pytest.mark.parametrize("region", [BOX, OPEN])
def test_density_is_the_papers_sum(region):
    """Equation 3 read plainly: for each component, plane times line."""
    field = small(region).double()
    x = points_in(region, 40).double()
    cube = (x - torch.tensor(region.center)) / torch.tensor(region.half)
    if region.unbounded:
        cube = cube / 2  # the inner box is half of the contracted cube
    expected = torch.zeros(40, dtype=torch.double)
    for (a, b, c), plane, line in zip(
        ((0, 1, 2), (0, 2, 1), (1, 2, 0)), field.density_planes, field.density_lines, strict=True
    ):
        uv = torch.stack([cube[:, b], cube[:, a]], dim=1)[None, :, None]
        w = torch.stack([torch.zeros(40), cube[:, c]], dim=1)[None, :, None]
        on_plane = F.grid_sample(plane.permute(2, 0, 1)[None], uv, align_corners=True)
        on_line = F.grid_sample(line.T[None, :, :, None], w.double(), align_corners=True)
        expected += (on_plane * on_line).sum(dim=(0, 1, 3))
    raw, _ = field.density(x)
    torch.testing.assert_close(raw, expected)


def test_gradients_of_density_and_colour():
    field = TensoRF(BOX, 4, 4, 1, 1, 2, 3).double()
    x = points_in(BOX, 5).double()
    viewdirs = F.normalize(torch.randn(5, 3, dtype=torch.double), dim=1)
    names = ["density_planes.1", "density_lines.2", "appearance_planes.0", "appearance_lines.1"]
    values = [dict(field.named_parameters())[name].detach().requires_grad_() for name in names]

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.field = field

        def forward(self):
            raw, feature = self.field.density(x)
            return torch.cat([raw[:, None], self.field.color(feature, viewdirs)], dim=1)

    both = Both()

    def function(*tables):
        state = {f"field.{name}": table for name, table in zip(names, tables, strict=True)}
        return torch.func.functional_call(both, state, ())

    assert torch.autograd.gradcheck(function, values)


def test_it_is_a_field_of_any_shape_and_clear_at_first_and_outside():
    field = small(CUBE)
    assert isinstance(field, Field)
    assert isinstance(field, GrowingField)
    x = points_in(CUBE, 12).view(4, 3, 3)
    viewdirs = F.normalize(torch.randn(4, 1, 3), dim=-1)
    raw, feature = field.density(x)
    rgb = field.color(feature, viewdirs)
    assert raw.shape == (4, 3)
    assert rgb.shape == (4, 3, 3)
    assert ((rgb >= 0) & (rgb <= 1)).all()
    flat = field.color(feature.flatten(0, 1), viewdirs.expand(4, 3, 3).flatten(0, 1))
    torch.testing.assert_close(rgb.flatten(0, 1), flat)
    # Light passes the whole region of an untouched field.
    assert (2 * 1.5 * field.activation(raw) < 0.05).all()
    outside = torch.tensor([[1.6, 0.0, 0.0], [0.0, -9.0, 0.0]])
    assert not field.activation(field.density(outside)[0]).any()
    assert field.color(feature[:0, 0], viewdirs[:0, 0]).shape == (0, 3)


def test_regions_of_any_size_are_equally_opaque():
    values = []
    for scale in (1.0, 10.0):
        region = Region((0.0, 0.0, 0.0), (scale,) * 3)
        field = small(region)
        raw, _ = field.density(points_in(region, 20))
        values.append(field.activation(raw + 10) * scale)
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-4)


def test_upsampling_keeps_linear_functions():
    field = small(CUBE, 9, 5)
    with torch.no_grad():
        for name in ("density", "appearance"):
            for plane in getattr(field, f"{name}_planes"):
                i = torch.linspace(-1, 1, plane.shape[0])[:, None, None]
                j = torch.linspace(-1, 1, plane.shape[1])[None, :, None]
                plane.copy_((1 + 2 * i - 3 * j).expand_as(plane))
            for line in getattr(field, f"{name}_lines"):
                line.copy_((2 - torch.linspace(-1, 1, len(line)))[:, None].expand_as(line))
    x, viewdirs = points_in(CUBE, 50), F.normalize(torch.randn(50, 3), dim=1)
    before, place = field.density(x)
    colour = field.color(place, viewdirs)
    replaced = field.upsample((9, 13, 8))
    assert field.sizes == (9, 13, 8)
    assert len(replaced) == 12
    now = list(field.parameters())
    assert all(
        any(new is p for p in now) and not any(old is p for p in now) for old, new, _ in replaced
    )
    torch.testing.assert_close(field.density(x)[0], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(field.color(place, viewdirs), colour, rtol=1e-4, atol=1e-4)


def test_upsampling_to_twice_the_intervals_keeps_any_values():
    field = small(CUBE, 8, 5)
    x = points_in(CUBE, 50)
    before, _ = field.density(x)
    field.upsample((9, 9, 9))
    torch.testing.assert_close(field.density(x)[0], before, rtol=1e-4, atol=1e-5)


def draw(count):
    raise AssertionError("no rays are needed")


def test_growth_follows_the_training():
    field = small(CUBE, 48, 12)
    sizes = []
    for step in range(3001):
        field.grow(step / 3000, step, draw)
        sizes.append(field.sizes[0])
    assert sizes == sorted(sizes)
    assert sizes[0] == 12
    assert sizes[-1] == 48
    changes = [step for step in range(1, 3001) if sizes[step] > sizes[step - 1]]
    assert changes == [200, 300, 400, 550, 700]  # the paper's, a tenth
    ratios = [sizes[step] / sizes[step - 1] for step in changes]
    assert max(ratios) / min(ratios) < 1.15  # geometrically, but for rounding


def test_a_short_training_begins_coarse_and_ends_fine():
    field = small(CUBE, 48, 12)
    field.grow(0.9, 20, draw)
    assert field.sizes[0] == 12
    field.grow(0.95, 1000, draw)
    assert field.sizes[0] == 48
    assert field.grow(1.0, 2000, draw) == []


def test_sides_have_points_in_proportion():
    assert small(Region((0.0, 0, 0), (1.0, 2.0, 0.5)), 40, 20).sizes == (10, 20, 5)


@pytest.mark.parametrize("region", [CUBE, BOX])
def test_a_state_loads_at_the_resolution_it_reached(region):
    grown = small(region, 48, 12)
    grown.grow(0.12, 1000, draw)
    assert 12 < max(grown.sizes) < 48
    fresh = torch.nn.ModuleDict({"nerf_coarse": small(region, 48, 12)})
    kept = list(fresh.parameters())
    fresh.load_state_dict({f"nerf_coarse.{k}": v for k, v in grown.state_dict().items()})
    field: Any = fresh["nerf_coarse"]
    assert field.sizes == grown.sizes
    assert all(a is b for a, b in zip(kept, fresh.parameters(), strict=True))
    x = points_in(region, 30)
    assert torch.equal(field.density(x)[0], grown.density(x)[0])
    field.grow(1.0, 5000, draw)  # and goes on from there
    assert max(field.sizes) == 48


def test_a_state_of_other_components_does_not_load():
    other = TensoRF(BOX, 12, None, 2, 4, 5, 16)
    with pytest.raises(RuntimeError, match="density_planes"):
        small(BOX).load_state_dict(other.state_dict())


def test_parameter_groups_are_all_parameters():
    field = small()
    groups = field.parameter_groups()
    assert [group["lr"] for group in groups] == [0.02, 1e-3]
    grouped = {id(p) for group in groups for p in group["params"]}
    assert grouped == {id(p) for p in field.parameters()}
    assert sum(len(group["params"]) for group in groups) == len(grouped)


def test_the_papers_sizes():
    field = TensoRF(CUBE, 16, 8)
    assert [p.shape for p in field.density_planes] == [(8, 8, 16)] * 3
    assert [p.shape for p in field.appearance_lines] == [(8, 48)] * 3
    assert field.basis.weight.shape == (27, 144)
    assert [layer.weight.shape for layer in field.network if hasattr(layer, "weight")] == [
        *((128, 150), (128, 128), (3, 128))
    ]


def test_it_learns_a_density_and_a_colour():
    torch.manual_seed(0)
    field = TensoRF(CUBE, 16, 16)
    optimizer = torch.optim.Adam(field.parameter_groups())
    viewdirs = torch.tensor([[0.0, 0.0, 1.0]])
    losses = []
    for step in range(60):
        x = points_in(CUBE, 512, step)
        inside = (x.norm(dim=1) < 1).float()
        raw, place = field.density(x)
        colour = field.color(place, viewdirs)
        alpha = -torch.expm1(-0.1 * field.activation(raw))
        loss = (alpha - inside).square().mean() + (colour - (x + 1.5) / 3).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("name", ["appearance_planes.2", "density_lines.0"])
def test_tables_of_sizes_that_do_not_fit_are_refused(name):
    state = small().state_dict()
    with pytest.raises(ValueError, match="cells along an axis"):
        small().load_state_dict(state | {name: state[name][:1]})
